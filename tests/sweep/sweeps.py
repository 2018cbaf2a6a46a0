"""sweeps.py TEST SWEEP_SIM MPIRUN [N] -- whole sweeps with simulated stages.

ranks    1, 2, 3 and 5 ranks, and none of mpirun: the same results.
trouble  models and trials that fail or diverge: rows with a reason, the sweep goes on.
grow     a seed more in the config: old rows stay, only new ones are computed.
cache    a base model missing from the cache, another one damaged: made again.
lost     a rank dies under --enable-recovery: the others do its work.
disk     no room for the file: nothing is left; a write that fails later: exit 1, the
         file is intact.
able     a rank cannot make again a model that has a row: others do its work.
begin    a rank that cannot even begin: nothing is computed, and one reason is given.
unable   no rank can: the trials fail, one by one.
starve   no memory to send a row: the sweep stops, and the same command goes on.
stop     SIGUSR1: exit 75, and the same command goes on.
kills    N times SIGKILL of a rank, of rank 0, of all or of mpirun at a random moment,
         then the same command again: nothing lost, the results as undisturbed.
bench    N ranks, prints the cost of handing out a trial. Not a test.
"""
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

SIM, MPIRUN = os.path.abspath(sys.argv[2]), sys.argv[3]
TABLES = ("base", "unlearned", "trials")
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1",
                   OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")


def command(ranks, *arguments, launcher=()):
    if ranks == 0:
        return [SIM, *arguments]
    # Its shared memory in this folder: what a kill leaves behind goes with it.
    return [MPIRUN, "--oversubscribe", "--bind-to", "none", "--mca",
            "mpi_yield_when_idle", "1", "--mca", "btl_vader_backing_directory",
            os.getcwd(), *launcher, "-n", str(ranks), SIM, *arguments]


def run(ranks, *arguments, expect=0, launcher=()):
    done = subprocess.run(command(ranks, *arguments, launcher=launcher),
                          env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
                          timeout=120)
    assert done.returncode == expect, (done.returncode, done.stderr)
    return done.stderr


def contents(path):
    """Every dataset but those of /run, as bytes."""
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: found.update(
            {name: item[()].tobytes()} if isinstance(item, h5py.Dataset)
            and not name.startswith("run/") else {}))
    return found


def assert_same(a, b):
    a, b = contents(a), contents(b)
    assert a.keys() == b.keys() and len(a) > 80, sorted(a.keys() ^ b.keys())
    differing = [name for name in a if a[name] != b[name]]
    assert not differing, differing


def states(path, table="trials"):
    with h5py.File(path, "r") as file:
        return file[table]["state"][:]


def texts(path, table, column):
    with h5py.File(path, "r") as file:
        return file[table][column].asstr()[:]


def test_ranks():
    run(0, "none.h5", "ms=2")
    assert (states("none.h5") == 1).all() and len(states("none.h5")) == 40
    for ranks in (1, 2, 3, 5):
        run(ranks, f"{ranks}.h5", "ms=2")
        assert_same("none.h5", f"{ranks}.h5")
    with h5py.File("5.h5") as file:
        assert len(set(file["run/trials/rank"][:])) > 2
    said = run(3, "3.h5", "ms=2")
    assert "all 40 trials are done; nothing to compute" in said, said


def test_trouble():
    run(0, "none.h5", "ms=1", "seeds=6", "trouble=1", expect=1)
    said = run(3, "three.h5", "ms=1", "seeds=6", "trouble=1", expect=1)
    assert_same("none.h5", "three.h5")
    assert "rows failed (the same command tries them again); the first is" in said, said
    assert "made to fail" in said
    for table in TABLES:
        state, error = states("none.h5", table), texts("none.h5", table, "error")
        assert set(state) == {1, 2, 3}, (table, set(state))
        for state, error in zip(state, error):
            assert (error == "") == (state == 1)
            assert state == 1 or ("fail" if state == 2 else "diverge") in error, error
    with h5py.File("none.h5") as file:
        trials = file["trials"]
        assert np.isnan(trials["v_after"][:][trials["state"][:] != 1]).all()
        for row, error in enumerate(trials["error"].asstr()[:]):
            if found := re.match(r"(base|unlearned) ([0-9a-f]{32}) ", error):
                parent = file[found[1]]
                index = trials[found[1]][row]
                assert parent["key"].asstr()[index] == found[2]
                assert parent["state"][index] == trials["state"][row]
        assert any(error.startswith("base ") for error in trials["error"].asstr()[:])
        kept = (trials["state"][:] != 2).sum()
    # What failed is tried again, what diverged is a result.
    said = run(2, "three.h5", "ms=1", "seeds=6", "trouble=1", expect=1)
    assert f"{len(states('none.h5')) - kept} of 120 trials to do" in said, said
    assert_same("none.h5", "three.h5")


def test_grow():
    run(2, "grown.h5", "ms=1", "seeds=1")
    with h5py.File("grown.h5") as file:
        before = set(file["run/trials/finished"][:])
    said = run(2, "grown.h5", "ms=1", "seeds=2")
    assert "20 of 40 trials to do, 2 of 4 base models, 5 of 10 unlearned" in said, said
    run(0, "whole.h5", "ms=1", "seeds=2")
    assert_same("grown.h5", "whole.h5")
    with h5py.File("grown.h5") as file:
        assert before < set(file["run/trials/finished"][:])
    said = run(2, "grown.h5", "ms=1", "seeds=1", expect=2)
    assert "holds 20 done trials and" in said and "choose another -o" in said, said
    assert_same("grown.h5", "whole.h5")


def test_cache():
    run(0, "whole.h5", "ms=1")
    run(0, "again.h5", "ms=1", "coefficients=2")
    cached = sorted(os.listdir("cache"))
    assert len(cached) == 4, cached
    os.unlink(os.path.join("cache", cached[0]))
    for name in cached[1:]:
        with open(os.path.join("cache", name), "wb") as file:
            file.write(b"damaged")
    said = run(2, "again.h5", "ms=1", "coefficients=3")
    assert "differs" not in said, said
    assert_same("again.h5", "whole.h5")


def ranks_of(launcher, wanted):
    """Pids of the ranks, rank 0 first, once all are there."""
    for _ in range(500):
        found = {}
        for pid in subprocess.run(["pgrep", "-P", str(launcher)], text=True,
                                  stdout=subprocess.PIPE).stdout.split():
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    variables = dict(item.split(b"=", 1) for item in
                                     file.read().split(b"\0") if b"=" in item)
                found[int(variables[b"OMPI_COMM_WORLD_RANK"])] = int(pid)
            except (OSError, KeyError):
                pass
        if len(found) == wanted:
            return [found[rank] for rank in sorted(found)]
        time.sleep(0.01)
    return []


def start(ranks, *arguments, launcher=()):
    return subprocess.Popen(command(ranks, *arguments, launcher=launcher),
                            env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)


def wait_for_rows(path, n):
    for _ in range(2000):
        if os.path.exists(path) and (states(path) != 0).sum() >= n:
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} has no {n} rows")


def test_lost():
    run(0, "whole.h5", "ms=1")
    job = start(3, "lost.h5", "ms=40", "lease=1.5", launcher=("--enable-recovery",))
    pids = ranks_of(job.pid, 3)
    wait_for_rows("lost.h5", 3)
    os.kill(pids[1], signal.SIGKILL)
    said = job.communicate(timeout=100)[1]
    assert "rank 1 said nothing for" in said, said
    assert_same("whole.h5", "lost.h5")
    # Without rank 0 there is nobody to talk to: the others end, and the file is good.
    job = start(3, "headless.h5", "ms=40", "lease=1.5", launcher=("--enable-recovery",))
    pids = ranks_of(job.pid, 3)
    wait_for_rows("headless.h5", 3)
    os.kill(pids[0], signal.SIGKILL)
    said = job.communicate(timeout=100)[1]
    assert "rank 0 said nothing for" in said, said
    assert 0 < (states("headless.h5") == 1).sum() < 40
    run(2, "headless.h5", "ms=1")
    assert_same("whole.h5", "headless.h5")


def test_disk():
    run(0, "whole.h5", "ms=1")
    os.mkdir("small")
    # Only the rank is limited: the launcher has files of its own.
    done = subprocess.run([MPIRUN, "--mca", "btl", "self", "-n", "1", "sh", "-c",
                           f"ulimit -f 48; exec {SIM} small/a.h5 ms=1"], text=True,
                          env=ENVIRONMENT, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1, done.returncode
    assert re.search(r"cannot make small/a.h5.[0-9a-f]{8}.tmp .*too large", done.stderr), done.stderr
    assert os.listdir("small") == [], os.listdir("small")
    job = start(2, "later.h5", "ms=40")
    pids = ranks_of(job.pid, 2)
    wait_for_rows("later.h5", 3)
    resource.prlimit(pids[0], resource.RLIMIT_FSIZE, (50000, 50000))
    said = job.communicate(timeout=60)[1]
    assert job.returncode == 1, (job.returncode, said)
    assert "later.h5: writing row" in said and "too large" in said, said
    assert 0 < (states("later.h5") == 1).sum() < 40
    run(2, "later.h5", "ms=1")
    assert_same("whole.h5", "later.h5")


def test_begin():
    run(0, "whole.h5", "ms=1")
    said = run(3, "none.h5", "ms=1", "cannot=lab", expect=1)
    assert said.count("made to be unable") == 1 and "rank 1 on" in said, said
    for table in TABLES:
        assert (states("none.h5", table) == 0).all(), table
    run(3, "none.h5", "ms=1")
    assert_same("whole.h5", "none.h5")


def undo(path, *tables):
    """Make these rows pending."""
    with h5py.File(path, "r+") as file:
        for table in tables:
            file[table]["state"][:] = 0


def empty_cache():
    for name in os.listdir("cache"):
        os.unlink(os.path.join("cache", name))


def test_able():
    run(0, "whole.h5", "ms=1")
    shutil.copy("whole.h5", "some.h5")
    for table in ("base", "unlearned"):
        for how in ("diverge=0", "diverge=1"):
            undo("some.h5", "trials")
            said = run(3, "some.h5", "ms=5", f"cannot={table}", how)
            assert re.search(rf"rank [12] .* cannot make what is made already.*: {table} ", said), said
            assert_same("whole.h5", "some.h5")
    # Bases that one rank can neither read nor train, and nobody else has trained yet.
    undo("some.h5", "trials", "unlearned")
    empty_cache()
    run(3, "some.h5", "ms=5", "cannot=base")
    assert_same("whole.h5", "some.h5")


def test_unable():
    run(0, "whole.h5", "ms=1")
    shutil.copy("whole.h5", "none.h5")
    for ranks in (1, 3):
        # One failure is that of one trial.
        undo("none.h5", "trials")
        run(ranks, "none.h5", "ms=1", "cannot=unlearned", "from=0", "times=1",
            expect=1 if ranks == 1 else 0)
        assert (states("none.h5") != 1).sum() == (ranks == 1)
        # A model can be made after all, of a base that could not.
        undo("none.h5", "unlearned")
        empty_cache()
        run(ranks, "none.h5", "ms=1", "cannot=base", "from=0", "times=1")
        assert (states("none.h5", "unlearned") == 1).all()
        run(2, "none.h5", "ms=1")
        for table, lost in (("unlearned", ("trials",)), ("base", ("trials",)),
                            ("base", ("trials", "unlearned"))):
            undo("none.h5", *lost)
            empty_cache()
            run(ranks, "none.h5", "ms=1", f"cannot={table}", "from=0", expect=1)
            for name in TABLES:
                assert (states("none.h5", name) == (2 if name in lost else 1)).all(), name
            for error in texts("none.h5", "trials", "error"):
                assert error.startswith(f"{table} ") and "made to be unable" in error, error
            run(2, "none.h5", "ms=1")
            assert_same("whole.h5", "none.h5")


def test_starve():
    run(0, "whole.h5", "ms=1")
    for table in TABLES:
        path = f"{table}.h5"
        said = run(2, path, "ms=5", f"starve={table}", expect=75)
        assert re.search("rank [01] cannot send what it finished: out of memory", said), said
        assert (states(path) != 1).any() and (states(path) != 2).all()
        run(2, path, "ms=1")
        assert_same("whole.h5", path)


def test_stop():
    run(0, "whole.h5", "ms=1")
    for victim, number in (("rank", signal.SIGUSR1), ("mpirun", signal.SIGUSR1),
                           ("mpirun", signal.SIGINT)):
        path = f"{victim}{number}.h5"
        job = start(2, path, "ms=40")
        pids = ranks_of(job.pid, 2)
        wait_for_rows(path, 3)
        os.kill(pids[1] if victim == "rank" else job.pid, number)
        said = job.communicate(timeout=60)[1]
        assert job.returncode == 75 or number == signal.SIGINT, (job.returncode, said)
        assert said.count("rows to go; run the same command again") == 1, said
        assert 0 < (states(path) == 1).sum() < 40
        with h5py.File(path) as file:
            assert file["run/sessions/finished"][0] > file["run/sessions/started"][0]
        run(2, path, "ms=1")
        assert_same("whole.h5", path)


def hit(job, victim, pids):
    targets = {"rank": pids[1:2], "rank 0": pids[:1], "all": pids, "mpirun": [job.pid]}
    for pid in targets[victim]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def leave(job):
    """Wait for the launcher; one that hangs after a kill is ended too. Its ranks may live
    on for a second or two: the next run has to wait for them."""
    try:
        job.wait(timeout=20)
    except subprocess.TimeoutExpired:
        job.kill()
        job.wait()


def finished(path):
    """Results of the rows that are done, by table and key."""
    rows = {}
    if not os.path.exists(path):
        return rows
    with h5py.File(path, "r") as file:
        for table in TABLES:
            group = file[table]
            # The state first: it is written last, and a rank may still be writing.
            done = np.flatnonzero(group["state"][:])
            columns = {name: group[name][:] for name in group}
            for row in done:
                rows[table, columns["key"][row]] = b"".join(
                    columns[name][row].tobytes() for name in sorted(columns))
    return rows


def test_kills(times):
    rng = random.Random(11)
    size = ("seeds=3", "coefficients=5", "ms=30")
    run(0, "whole.h5", "seeds=3", "coefficients=5", "ms=0.2")
    kills = working = files = 0
    while kills < times:
        path = f"{files}.h5"
        files += 1
        before = {}
        while kills < times:
            job = start(rng.choice((2, 3)), path, *size)
            pids = ranks_of(job.pid, int(job.args[job.args.index("-n") + 1]))
            time.sleep(rng.uniform(0, 0.7))
            alive = job.poll() is None and len(pids) > 0
            if alive:
                hit(job, rng.choice(("rank", "rank 0", "all", "mpirun")), pids)
                kills += 1
            leave(job)
            job.stderr.close()
            after = finished(path)
            lost = [key for key in before if before[key] != after.get(key)]
            assert not lost, f"{path} after {kills} kills: {lost}"
            working += len(after) < len(finished("whole.h5"))
            before = after
            if not alive:
                break
        run(2, path, "seeds=3", "coefficients=5", "ms=0.2")
        assert_same("whole.h5", path)
    assert working > times / 3, f"{working} of {times} kills met a sweep with work left"
    print(f"{kills} kills, {working} with work left, {files} files")


def bench(ranks):
    for ms in (0, 1, 10):
        run(ranks, f"{ms}.h5", f"ms={ms}", "seeds=8", "coefficients=30", "quiet=1")
        with h5py.File(f"{ms}.h5") as file:
            begin, end = (file["run/sessions"][name][0]
                          for name in ("started", "finished"))
            trials = len(file["trials/state"])
            busy = sum(file["run"][table]["seconds"][:].sum() for table in TABLES)
        print(f"{trials} trials of {ms} ms on {ranks} ranks: {end - begin:.3f} s, "
              f"{1000 * ((end - begin) * ranks - busy) / trials:.3f} ms a trial lost, "
              f"{100 * busy / (end - begin) / ranks:.1f} % of ideal")


def main():
    name, number = sys.argv[1], int(sys.argv[4]) if len(sys.argv) > 4 else 30
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if name == "kills":
            test_kills(number)
        elif name == "bench":
            bench(number)
        else:
            globals()["test_" + name]()


if __name__ == "__main__":
    main()
