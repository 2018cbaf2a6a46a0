"""Results files with made-up numbers, laid out as ../../results/README.md says.

The numbers are drawn, not computed by any model: they look like a sweep's and are known.
"""

import zlib

import h5py
import numpy as np

FOLDS = 5
POINTS = 4
RATES = (3e-4, 1e-3)
#: method, coefficient -> V before, retain, V after
MODELS = {
    ("none", np.nan): (0.97, 1.0, 0.98),
    ("filtered", np.nan): (0.27, 1.0, 0.27),
    ("gd", 0.1): (0.70, 1.0, 0.93),
    ("gd", 0.3): (0.50, 0.98, 0.91),
    ("gd", 1.0): (0.40, 0.95, 0.88),
    ("gd", 3.0): (0.28, 0.60, 0.55),
    ("rmu", 1.0): (0.60, 1.0, 0.96),
    ("rmu", 10.0): (0.32, 0.98, 0.94),
    ("ria", 3.0): (0.65, 0.99, 0.9),
}
ROLES = {"none": 1, "filtered": 2}


def pack(bits, width):
    row = np.zeros(width, np.uint8)
    packed = np.packbits(np.asarray(bits, bool), bitorder="little")
    row[:len(packed)] = packed
    return row


def column(group, name, values, units="1"):
    values = list(values)
    if isinstance(values[0], str):
        raw = [value.encode() for value in values]
        kind = h5py.string_dtype("utf-8", max(map(len, raw)) + 1)
        made = group.create_dataset(name, data=np.array(raw, dtype=kind))
    else:
        made = group.create_dataset(name, data=np.array(values))
    made.attrs["units"], made.attrs["long_name"] = units, name


def table(file, name, rows):
    group = file.create_group(name)
    for key in rows[0]:
        column(group, key, [row[key] for row in rows])


def attribute(file, name, text):
    file.attrs.create(name, text, dtype=h5py.string_dtype("utf-8", len(text) + 1))


def model_results(width):
    return {"loss": 0.1, "v_accuracy": 0.9, "retain_accuracy": 1.0,
            "bits": np.zeros(width, np.uint8), "error": " ", "crc": np.uint32(0)}


def curves():
    points = np.linspace(0, 1, POINTS)
    return {"chosen_step": 120.0, "max_step": 120.0, "points": np.int32(POINTS),
            "curve_step": 120 * points, "curve_loss": 2 - points, "curve_v": points,
            "curve_dev": points}


def base_row(size, seed, taught, facts):
    rng = np.random.default_rng(zlib.crc32(f"{size} {seed} {taught}".encode()))
    known = rng.permutation(facts) < round(taught * facts)
    width = (facts + 7) // 8
    return {"state": np.uint8(1), "key": f"{zlib.crc32(repr((size, seed, taught)).encode()):032x}",
            "world": np.int32(0), "model": size, "seed": np.int64(seed),
            "taught": float(taught), "steps": np.int64(900), "batch": np.int64(64),
            "lr": 1e-3, "taught_bits": pack(known, width),
            "setting": (f"world.kind=synthetic world.facts={facts} model.size={size} "
                        f"pretrain.steps=900 pretrain.taught={taught:g}"),
            **model_results(width)}


def trial_row(world, base, base_index, method, coefficient, lr, holdout, steps):
    seed, size, taught = int(base["seed"]), base["model"], base["taught"]
    control = method in ROLES
    before, retain, after = MODELS[method, coefficient]
    per_fold, width = world["facts"] // FOLDS, (world["facts"] // FOLDS + 7) // 8
    name = f"{method} {coefficient} {lr} {holdout} {seed} {size} {taught}"
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    known = np.unpackbits(base["taught_bits"], bitorder="little")[holdout::FOLDS][:per_fold]
    damage = 0.1 if lr == RATES[1] and method == "gd" else 0.0

    def right(p):
        return rng.random(per_fold) < np.where(known, p, 0.25)

    bits_before, bits = right(before), right(after - damage)
    setting = f"{base['setting']} method={method}"
    if not control:
        setting += f" coefficient={coefficient:g} lr=0.001 steps=100"
    v = bits.mean()
    return {"state": np.uint8(1), "key": f"{zlib.crc32(name.encode()):032x}",
            "base": np.int32(base_index), "unlearned": np.int32(0),
            "world": np.int32(0), "model": size, "seed": np.int64(seed), "taught": taught,
            "method": method, "coefficient": coefficient,
            "unlearn_lr": np.nan if control else 1e-3,
            "unlearn_steps": np.int64(0 if control else 100),
            "role": np.int32(ROLES.get(method, 0)), "attack": "finetune", "attack_lr": lr,
            "attack_steps": np.int64(steps), "holdout": np.int32(holdout),
            "setting": setting,
            "attack_setting": f"attack=finetune lr={lr:g} steps={steps} holdout={holdout}",
            "v_before": bits_before.mean(), "dev_before": before, "retain_before":
            retain - 0.01 * (seed % 3), "v_after": v, "dev_after": round(after - damage, 3),
            "v_after_max": min(1.0, v + 0.05), "retain_after": retain - 0.02,
            "bits": pack(bits, width), "bits_before": pack(bits_before, width), "error": " ",
            "crc": np.uint32(0), **curves()}


def unlearned_row(trial, facts):
    names = ("state key base world model seed taught method coefficient unlearn_lr "
             "unlearn_steps role setting").split()
    return {**{name: trial[name] for name in names}, **model_results((facts + 7) // 8)}


def run_row():
    return {"host": "node", "rank": np.int32(0), "seconds": 1.5, "finished": 1.7e9}


def blank(row, state):
    """A row without a result."""
    row.update(state=np.uint8(state), bits=np.zeros_like(row["bits"]),
               bits_before=np.zeros_like(row["bits"]))
    for key in ("v_before", "dev_before", "retain_before", "v_after", "dev_after",
                "v_after_max", "retain_after"):
        row[key] = np.nan


def make(path, sweep="made", seeds=(0, 1, 2), facts=300, sizes=("nano",), taught=(1.0,),
         models=tuple(MODELS), holdouts=(0, 1), steps=120, state=lambda i, row: 1):
    """Write a file; state(i, row) says what becomes of the i-th trial. Returns its trials."""
    world = {"facts": facts}
    bases, trials = [], []
    for size in sizes:
        for seed in seeds:
            bases.append(base_row(size, seed, 0.0, facts))
            floor = len(bases) - 1
            for fraction in taught:
                bases.append(base_row(size, seed, fraction, facts))
                for method, coefficient in models:
                    if method == "filtered" and fraction != taught[0]:
                        continue
                    own = floor if method == "filtered" else len(bases) - 1
                    trials += [trial_row(world, bases[own], own, method, coefficient, lr,
                                         holdout, steps)
                               for holdout in holdouts for lr in RATES]
    for i, row in enumerate(trials):
        kind = state(i, row)
        if kind != 1:
            blank(row, kind)
    with h5py.File(path, "w") as file:
        for name in ("code_schema config plan commit version compiler mpi hdf5 blas "
                     "blas_core hwloc cpu").split():
            attribute(file, name, "made")
        attribute(file, "schema", "1")
        attribute(file, "sweep", sweep)
        table(file, "worlds", [{"key": "0" * 32, "setting": "kind=synthetic",
                                "chance": 0.25, "folds": np.int32(FOLDS)}])
        table(file, "facts", [{"world": np.int32(0), "index": np.int32(i), "id": f"f{i}",
                               "relation": "birth", "role": np.int32(i >= facts),
                               "fold": np.int32(i % FOLDS if i < facts else -1),
                               "answer": "1900", "choices": np.int32(4)}
                              for i in range(facts + 20)])
        unlearned = [unlearned_row(row, facts) for row in trials]
        table(file, "base", bases)
        table(file, "unlearned", unlearned)
        table(file, "trials", trials)
        table(file, "run/base", [run_row() for _ in bases])
        table(file, "run/unlearned", [run_row() for _ in unlearned])
        table(file, "run/trials", [run_row() for _ in trials])
        table(file, "run/sessions", [{"started": 1.7e9, "finished": 1.7e9, "ranks":
                                      np.int32(1), "hosts": "node", "job": "1",
                                      "commit": "made"}])
    return trials
