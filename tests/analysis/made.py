"""Results files with made-up numbers.

A simulated sweep (../sweep/sweep_sim.c) lays the file out as the program does; then its
results are overwritten with numbers that are drawn, not computed by any model: they look
like a sweep's and are known. Who uses this is started as SCRIPT PALIMPSEST SWEEP_SIM.
"""

import os
import subprocess
import sys
import zlib

import h5py
import numpy as np

PALIMPSEST, SWEEP_SIM = (os.path.abspath(path) for path in sys.argv[1:3])
RATES = (3e-4, 1e-3)
GUESS = 0.25
#: method, coefficient -> V before, retain (of seeds 0, 3 ...; 0.01 and 0.02 less in the
#: others), V after; for facts that were taught
MODELS = {
    ("none", None): (0.97, 1.0, 0.98),
    ("filtered", None): (0.97, 1.0, 0.98),
    ("gd", 0.1): (0.70, 1.0, 1.0),
    ("gd", 0.3): (0.50, 0.98, 0.91),
    ("gd", 1.0): (0.40, 0.95, 0.88),
    ("gd", 3.0): (0.28, 0.60, 0.55),
    ("rmu", 1.0): (0.60, 1.0, 0.96),
    ("rmu", 10.0): (0.32, 0.98, 0.94),
    ("ria", 3.0): (0.65, 0.915, 0.9),
}
#: the result columns in the order of ../../results/README.md, which `crc` goes by
MODEL_RESULTS = "loss v_accuracy retain_accuracy bits error".split()
TRIAL_RESULTS = ("v_before dev_before retain_before v_after dev_after v_after_max "
                 "retain_after chosen_step max_step points curve_step curve_loss curve_v "
                 "curve_dev bits bits_before error").split()
RESULTS = {"base": MODEL_RESULTS, "unlearned": ["steps_done", *MODEL_RESULTS], "trials": TRIAL_RESULTS}
ERRORS = {1: "", 0: "", 2: "made to fail", 3: "made to diverge"}


def config(sweep, seeds, facts, sizes, lr, taught, models, steps, adapters, attacks, rates,
           holdouts):
    methods = [f"  - {{method: {method}}}" if coefficient is None else
               f"  - {{method: {method}, coefficient: {coefficient}, steps: {steps}, "
               f"adapter: {adapters}}}" for method, coefficient in models]
    return "\n".join([
        f"sweep: {sweep}", "controls: false",
        f"world: {{kind: synthetic, facts: {facts}, retain: 20}}",
        f"model: {{size: [{', '.join(sizes)}]}}", f"seed: {list(seeds)}",
        f"pretrain: {{lr: {list(lr)}, taught: {list(taught)}}}", "unlearn:", *methods,
        f"attack: {{kind: [{', '.join(attacks)}], lr: {list(rates)}, "
        f"holdout: {list(holdouts)}, evaluations: 3}}", ""])


def simulate(path, *options):
    """Run the sweep of the config beside the file; what it says."""
    # A sanitizer would blame it for what MPI keeps to the end.
    environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
    done = subprocess.run([SWEEP_SIM, path, f"config={path}.yaml", "ms=0", *options],
                          env=environment, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stderr


def read(group):
    columns = {name: item.asstr()[:] if item.dtype.kind == "S" else item[:]
               for name, item in group.items()}
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def write(group, rows, results):
    for name in ("state", *results):
        group[name][...] = np.array([row[name] for row in rows], group[name].dtype)
    covered = [group[name][:] for name in ("state", "key", *results)]
    group["crc"][...] = [zlib.crc32(b"".join(column[i:i + 1].tobytes()
                                             for column in covered))
                         for i in range(len(rows))]


def generator(*what):
    return np.random.default_rng(zlib.crc32(" ".join(map(str, what)).encode()))


def unpack(row, n):
    return np.unpackbits(row, bitorder="little")[:n].astype(bool)


def pack(bits, width):
    row = np.zeros(width, np.uint8)
    packed = np.packbits(bits, bitorder="little")
    row[:len(packed)] = packed
    return row


def answer(rng, known, p):
    """Which facts are right: those known with probability p, others by guessing."""
    return rng.random(len(known)) < np.where(known, p, GUESS)


def model_of(row):
    coefficient = row["coefficient"]
    return row["method"], None if np.isnan(coefficient) else float(coefficient)


def draw_base(row, folds):
    rng = generator(row["model"], row["seed"], row["taught"])
    bits = answer(rng, unpack(row["taught_bits"], len(folds)), MODELS["none", None][0])
    row.update(loss=0.1, v_accuracy=bits.mean(), bits=pack(bits, len(row["bits"])),
               retain_accuracy=1 - 0.01 * (row["seed"] % 3))


def draw_unlearned(row, base, folds, steps_done):
    """A control is its base."""
    before, retain, _ = MODELS[model_of(row)]
    bits = unpack(base["bits"], len(folds))
    if row["role"] == 0:
        rng = generator(*model_of(row), row["unlearn_steps"], row["seed"], row["model"],
                        row["taught"])
        bits = answer(rng, unpack(base["taught_bits"], len(folds)), before)
    row.update(steps_done=steps_done(row), loss=0.1, v_accuracy=bits.mean(),
               bits=pack(bits, len(row["bits"])),
               retain_accuracy=base["retain_accuracy"] - (1 - retain))


def draw_trial(row, base, unlearned, folds):
    """Of four points the third (of gd: the last) is best on the dev fold, the second on V;
    the first rate is the best for gd, the second for ria in even seeds."""
    rate, holdout = row["attack_lr"], row["holdout"]
    v, dev = folds == holdout, folds == (holdout + 1) % (folds.max() + 1)
    known, before = (unpack(bits, len(folds))
                     for bits in (base["taught_bits"], unlearned["bits"]))
    p = MODELS[model_of(row)][2]
    if rate != RATES[0] and row["method"] == "gd":
        p -= 0.1
    if rate == RATES[1] and row["method"] == "ria" and row["seed"] % 2 == 0:
        p += 0.05
    if row["attack"] == "lora":
        p -= 0.2
    rng = generator(*model_of(row), row["unlearn_steps"], rate, holdout, row["seed"],
                    row["model"], row["taught"])
    bits = answer(rng, known[v], p)
    v_before, v_after, dev_before = before[v].mean(), bits.mean(), before[dev].mean()
    v_after_max = max(v_before, min(1, v_after + 0.05))
    # Not drawn: the two rates of a method other than gd do equally well.
    dev_after = max(dev_before, round(np.where(known[dev], p, GUESS).sum()) / dev.sum())
    step, retain = np.linspace(0, row["attack_steps"], 4), unlearned["retain_accuracy"]
    chosen = 3 if row["method"] == "gd" else 2
    width = len(row["bits"])
    row.update(v_before=v_before, dev_before=dev_before, retain_before=retain,
               v_after=v_after, dev_after=dev_after, v_after_max=v_after_max,
               retain_after=retain - 0.02, chosen_step=step[chosen], max_step=step[1],
               points=4, curve_step=step, curve_loss=np.array([np.nan, 2, 1.5, 1]),
               curve_v=np.array([v_before, v_after_max, v_after, v_after]),
               curve_dev=np.where(np.arange(4) < chosen, dev_before, dev_after),
               bits=pack(bits, width), bits_before=pack(before[v], width))


def early(row):
    """Steps done where a budget ends gd 3 in every seed, and gd 1 in all but seed 0."""
    ended = row["method"] == "gd" and (
        row["coefficient"] == 3 or row["coefficient"] == 1 and row["seed"] > 0)
    return row["unlearn_steps"] - (15 if ended else 0)


def blank(row):
    for name in TRIAL_RESULTS:
        if name != "error":
            floating = np.asarray(row[name]).dtype.kind == "f"
            row[name] = np.full_like(row[name], np.nan if floating else 0)


def make(path, sweep="made", seeds=(0, 1, 2), facts=300, sizes=("nano",), lr=(0.003,),
         taught=(1.0,), models=tuple(MODELS), unlearn_steps=(100,), adapters=(0,),
         attacks=("finetune",), rates=RATES, holdouts=(0, 1), state=lambda i, row: 1,
         steps_done=lambda row: row["unlearn_steps"]):
    """Make a file; state(i, row) says what becomes of the i-th trial, steps_done(row) how
    far an unlearning run got. Returns its trials."""
    with open(f"{path}.yaml", "w", encoding="utf-8") as file:
        file.write(config(sweep, seeds, facts, sizes, lr, taught, models,
                          list(unlearn_steps), list(adapters), attacks, rates, holdouts))
    if os.path.exists(path):
        os.remove(path)
    simulate(path, "quiet=1")
    with h5py.File(path, "r+") as file:
        folds = file["facts/fold"][file["facts/role"][:] == 0]
        rows = {table: read(file[table]) for table in RESULTS}
        for row in rows["base"]:
            draw_base(row, folds)
        for row in rows["unlearned"]:
            draw_unlearned(row, rows["base"][row["base"]], folds, steps_done)
        for i, row in enumerate(rows["trials"]):
            draw_trial(row, rows["base"][row["base"]], rows["unlearned"][row["unlearned"]],
                       folds)
            row["state"] = state(i, row)
            row["error"] = ERRORS[row["state"]]
            if row["state"] != 1:
                blank(row)
        for table, results in RESULTS.items():
            write(file[table], rows[table], results)
    return rows["trials"]
