"""Results file -> cells, the attacker's choice, means, recoveries and intervals.

Shared by the scripts of this folder; ../results/README.md is the schema it reads, and
../src/eval/recovery.h says how the numbers are defined. `palimpsest show FILE --json`
computes the same in C; a test holds the two together.

A cell is what shares everything but seed, held-out fold and the attack's learning rate. In
each (seed, held-out fold) the trial whose learning rate is best on the dev fold counts.
"""

import argparse
import functools
import math
import os
import re
import sys
import zlib
from collections import namedtuple

import h5py
import numpy as np

PENDING, DONE, FAILED, DIVERGED = range(4)
STATES = ("pending", "done", "failed", "diverged")
UNLEARNS, CEILING, FLOOR = range(3)
RESAMPLES = 2000
SMALLEST_GAP = 0.05  # between ceiling and floor, for a recovery to mean anything
SMALLEST_RETAIN = 0.9  # below it a seed's model is damaged: the cell must not count as robust

Estimate = namedtuple("Estimate", "value low high seeds facts reason")
Section = namedtuple("Section", "label floor ceiling cells")  # cells: those that unlearn

COLUMNS = ("state world model seed taught method coefficient unlearn_lr unlearn_steps role"
           " attack attack_lr holdout setting attack_setting base unlearned v_before retain_before"
           " v_after dev_after v_after_max retain_after bits bits_before attack_steps"
           " chosen_step").split()
MODEL_RESULTS = "loss v_accuracy retain_accuracy bits error".split()
#: what `crc` covers beside state and key, in its order
COVERED = {
    "base": MODEL_RESULTS,
    "unlearned": ["steps_done", *MODEL_RESULTS],
    "trials": ("v_before dev_before retain_before v_after dev_after v_after_max"
               " retain_after chosen_step max_step points curve_step curve_loss curve_v"
               " curve_dev bits bits_before error").split(),
}
SCHEMA = 2
INDEX_HEAD = rb"palimpsest results, schema (\d+), (\d+) bytes, crc ([0-9a-f]{8})\n"
INDEX_HEAD_BYTES = 80
INDEX_MOST = 1 << 24

Place = namedtuple("Place", "width rows offset crc")  # crc: None if it may change


class ResultsError(Exception):
    """What the person who runs a script has to know; its text is the message."""


class DamageError(Exception):
    """The file is not as it was written."""


def require_columns(group, names):
    missing = [name for name in names if name not in group]
    if missing:
        raise ResultsError(f"group '{group.name}' has no column '{missing[0]}'")


def read_columns(group, names):
    require_columns(group, names)
    return {name: group[name].asstr()[:] if group[name].dtype.kind in "SO"
            else group[name][:] for name in names}


def read_index(path):
    """'/trials/seed' -> Place, of every column: the text before HDF5's own bytes."""
    with open(path, "rb") as file:
        head = re.match(INDEX_HEAD, file.read(INDEX_HEAD_BYTES))
        if not head:
            raise ResultsError("no index of palimpsest")
        schema, size, crc = int(head[1]), int(head[2]), int(head[3], 16)
        if schema != SCHEMA:
            raise ResultsError(f"written with schema {schema}; this reads {SCHEMA}")
        body = file.read(min(size, INDEX_MOST))
        if zlib.crc32(body) != crc:
            raise DamageError("its index has another checksum")
    lines = [line.split() for line in body.decode().split("\nattribute ")[0].splitlines()
             if line.startswith("column ")]
    return {name: Place(int(width), int(rows), int(offset), int(crc[0], 16) if crc else None)
            for _, name, width, rows, offset, *crc in lines}


def check_columns(file, index):
    """Refuse a file whose columns are not where, or whose plan is not as it was made."""
    for name, place in index.items():
        column = file[name]
        width = column.dtype.itemsize if column.dtype.kind == "S" else column[:1].size
        if place.rows and (column.id.get_offset(), len(column), width) != (
                place.offset, place.rows, place.width):
            raise DamageError(f"the column {name} is not where it was made")
        if place.crc is not None and zlib.crc32(column[:].tobytes()) != place.crc:
            raise DamageError(f"the column {name} is not as it was made")
    for table in ("worlds", "facts", *COVERED):
        for name in file[table]:
            if f"/{table}/{name}" not in index:
                raise DamageError(f"its index has no column /{table}/{name}")


def check_rows(group, states, results):
    """Refuse a file in which a row that counts has another checksum."""
    require_columns(group, ("crc", "state", "key", *results))
    covered = [group[name][:] for name in ("state", "key", *results)]
    crcs = group["crc"][:]
    for row, state in enumerate(states):
        if state >= len(STATES):
            raise DamageError(f"row {row} of {group.name} has a state that does not exist")
        if state in (DONE, DIVERGED) and crcs[row] != zlib.crc32(
                b"".join(column[row:row + 1].tobytes() for column in covered)):
            raise DamageError(f"row {row} of {group.name} has another checksum")


def fields(setting):
    """'model.size=nano lr=0.001' as a dict; a value may hold spaces."""
    found, key = {}, None
    for word in setting.split(" "):
        if "=" in word:
            key, _, value = word.partition("=")
            found[key] = value
        elif key is not None:
            found[key] += " " + word
    return found


def without(setting, *keys):
    """A setting's text with some of its fields left out."""
    return " ".join(f"{key}={value}" for key, value in fields(setting).items()
                    if key.split(".")[-1] not in keys)


def varying(dicts):
    """Keys whose values differ between dicts (that have them), in order."""
    keys = dict.fromkeys(key for d in dicts for key in d)
    return [key for key in keys if len({d[key] for d in dicts if key in d}) > 1]


def label(parts, keys):
    """'nano, taught=0.5': the named fields, short where the short name is unique."""
    last = [key.split(".")[-1] for key in keys]
    return ", ".join(f"{short if last.count(short) == 1 else key}={parts[key]}"
                     for key, short in zip(keys, last) if key in parts)


class Cell:
    """Repetitions over seeds and held-out folds of one unlearned model under one attack."""

    def __init__(self, results, rows):
        self.results, self.rows = results, rows
        trials, first = results.trials, rows[0]
        for name in ("world", "model", "taught", "method", "coefficient", "unlearn_lr",
                     "unlearn_steps", "role", "attack", "setting"):
            setattr(self, name, trials[name][first])
        self.attack_setting = without(trials["attack_setting"][first], "lr", "holdout")
        self.ground = results.base["setting"][trials["base"][first]]
        known = fields(self.ground)
        #: a setting without an adapter does not say so
        self.unlearning = {"adapter": "0"} | {
            key: value for key, value in fields(self.setting).items() if key not in known}
        self.chosen = self._choose()
        self.states = {name: int(np.sum(trials["state"][rows] == i))
                       for i, name in enumerate(STATES)}

    def _choose(self):
        """(seed, holdout) -> (row that counts, V accuracy had V been used to choose)."""
        trials, chosen = self.results.trials, {}
        for row in self.rows:
            if trials["state"][row] != DONE:
                continue
            place = (trials["seed"][row], trials["holdout"][row])
            rank = (trials["dev_after"][row], -trials["attack_lr"][row])
            best, best_rank, v_max = chosen.get(place, (row, rank, -np.inf))
            if rank > best_rank:
                best, best_rank = row, rank
            chosen[place] = (best, best_rank, max(v_max, trials["v_after_max"][row]))
        return {place: (row, v_max) for place, (row, _, v_max) in chosen.items()}

    def scores(self, column):
        """[seeds, forget facts] of 'bits', 'bits_before', 'v_after_max' or 'taught': 1
        right, 0 wrong, NaN not measured."""
        results = self.results
        facts = results.folds[self.world]
        scores = np.full((len(results.seeds), len(facts)), np.nan)
        for (seed, holdout), (row, v_max) in self.chosen.items():
            of_v = facts == holdout
            if column == "v_after_max":
                values = v_max
            elif column == "taught":
                taught = results.base["taught_bits"][results.trials["base"][row]]
                values = unpack(taught, len(facts))[of_v]
            else:
                values = unpack(results.trials[column][row], of_v.sum())
            scores[results.seeds.index(seed), of_v] = values
        return scores

    def seed_scores(self, column):
        """[seeds]: a column's mean over the held-out folds of each seed."""
        values = [[self.results.trials[column][row]
                   for (s, _), (row, _) in sorted(self.chosen.items()) if s == seed]
                  for seed in self.results.seeds]
        return np.array([sum(v) / len(v) if v else np.nan for v in values])

    def floor(self):
        ground = without(self.ground, "taught")
        return self.results.find(
            lambda c: c.role == FLOOR and c.attack_setting == self.attack_setting
            and without(c.ground, "taught") == ground)

    def ceiling(self):
        return self.results.find(
            lambda c: c.role == CEILING and c.attack_setting == self.attack_setting
            and c.ground == self.ground)

    def accuracy(self, column):
        return mean(self.scores(column))

    def retain(self, column="retain_before"):
        """Interval over seeds only: the file holds no bit per retain fact."""
        return mean_of_seeds(self.seed_scores(column))

    def damaged(self):
        """In any seed: one lowers V after the attack as well."""
        retain = self.results.trials["retain_before"]
        return any(retain[row] < SMALLEST_RETAIN for row, _ in self.chosen.values())

    def ended_early(self):
        """How many seeds' unlearning the retain budget ended before its last step."""
        trials, done = self.results.trials, self.results.steps_done
        return len({seed for (seed, _), (row, _) in self.chosen.items()
                    if done[trials["unlearned"][row]] < self.unlearn_steps})

    def mean_steps(self):
        """Unlearning steps that were made, a mean over the seeds that are done."""
        trials, done = self.results.trials, self.results.steps_done
        steps = {seed: done[trials["unlearned"][row]]
                 for (seed, _), (row, _) in self.chosen.items()}
        steps = [n for n in steps.values() if not np.isnan(n)]
        return float(np.mean(steps)) if steps else float("nan")

    def tuning(self):
        """What the attacker chose in the repetitions, the (seed, held-out fold)s.

        An end of the rates counts only where there are several. `gaining`: with the largest
        rate or at the last point, and the dev fold not all right, for then no longer list
        is chosen from.
        """
        trials = self.results.trials
        chosen = [row for row, _ in self.chosen.values()]
        rates = trials["attack_lr"][chosen]
        usual, times = np.unique(rates, return_counts=True)
        smallest, largest = (end(trials["attack_lr"][self.rows]) for end in (min, max))
        at_largest = (rates == largest) & (smallest < largest)
        at_smallest = (rates == smallest) & (smallest < largest)
        last = trials["chosen_step"][chosen] == trials["attack_steps"][chosen]
        room = trials["dev_after"][chosen] < 1
        return {"repetitions": len(chosen),
                "attack_lr": usual[times.argmax()] if chosen else np.nan,
                "attack_lr_smallest": smallest, "attack_lr_largest": largest,
                "rate_at_end": int(np.sum(at_smallest | at_largest)),
                "rate_at_largest": int(np.sum(at_largest)),
                "point_at_end": int(np.sum(last)),
                "gaining": int(np.sum((at_largest | last) & room))}

    def corrected(self):
        floor, ceiling = self.floor(), self.ceiling()
        if floor is None or ceiling is None:
            return missing("no floor" if floor is None else "no ceiling")
        return recovery(self.scores("bits"), floor.scores("bits"), ceiling.scores("bits"))

    def paper(self):
        ceiling = self.ceiling()
        if ceiling is None:
            return missing("no ceiling")
        bits = self.scores("bits")
        return recovery(bits, np.zeros_like(bits), ceiling.scores("bits"))


class Results:
    def __init__(self, path):
        try:
            index = read_index(path)
            with h5py.File(path, "r", locking=False) as file:
                self._read(file)
                check_columns(file, index)
                check_rows(file["trials"], self.trials["state"], COVERED["trials"])
                for table in ("base", "unlearned"):
                    check_rows(file[table], file[table]["state"][:], COVERED[table])
        except FileNotFoundError:
            raise ResultsError(f"{path}: no such file") from None
        except DamageError as error:
            raise ResultsError(f"{path}: damaged: {error}") from None
        except Exception as error:  # of bytes that are no HDF5 h5py raises anything
            what = " ".join(str(error).split()) or type(error).__name__
            raise ResultsError(f"{path}: not a results file: {what}") from None
        if not len(self.trials["state"]):
            raise ResultsError(f"{path}: a results file without trials")
        self.path = path
        self.seeds = sorted(set(self.trials["seed"]))
        self.cells = self._cells()

    def _read(self, file):
        for name in ("worlds", "facts", *COVERED):
            if name not in file or not isinstance(file[name], h5py.Group):
                raise ResultsError(f"no group '/{name}'")
        sweep = file.attrs["sweep"]
        self.sweep = sweep.decode() if isinstance(sweep, bytes) else str(sweep)
        # The state byte is written last: what is read after it belongs to it.
        state = file["trials/state"][:]
        self.trials = read_columns(file["trials"], COLUMNS)
        self.trials["state"] = state
        facts = read_columns(file["facts"], ("world", "role", "fold"))
        worlds = read_columns(file["worlds"], ("chance",))
        self.chance = worlds["chance"]
        self.base = read_columns(file["base"], ("setting", "taught_bits"))
        self.steps_done = read_columns(file["unlearned"], ("steps_done",))["steps_done"]
        #: per world the fold of each forget fact, in file order
        self.folds = [facts["fold"][(facts["world"] == w) & (facts["role"] == 0)]
                      for w in range(len(self.chance))]

    def _cells(self):
        groups = {}
        for row, (setting, attack) in enumerate(zip(self.trials["setting"],
                                                    self.trials["attack_setting"])):
            groups.setdefault((setting, without(attack, "lr", "holdout")), []).append(row)
        return [Cell(self, np.array(rows)) for rows in groups.values()]

    def find(self, accept):
        return next((cell for cell in self.cells if accept(cell)), None)

    def sections(self):
        """One per world, model, pretraining and attack: what shares floor and ceiling."""
        found = {}
        for cell in [c for c in self.cells if c.role != FLOOR] or self.cells:
            found.setdefault((cell.ground, cell.attack_setting), []).append(cell)
        parts = [dict(fields(ground), **{"attack." + key.split(".")[-1]: value
                                         for key, value in fields(attack).items()})
                 for ground, attack in found]
        keys = varying(parts)
        return [Section(label(part, keys), cells[0].floor(), cells[0].ceiling(),
                        [cell for cell in cells if cell.role == UNLEARNS])
                for part, cells in zip(parts, found.values())]

    def counts(self):
        return {name: int(np.sum(self.trials["state"] == i))
                for i, name in enumerate(STATES)}

    def require_done(self):
        if not self.counts()["done"]:
            raise ResultsError(f"{self.path}: no trial is done yet ({self.progress()})")

    def progress(self):
        counts = self.counts()
        return ", ".join([f"{counts['done']} of {len(self.trials['state'])} trials done"]
                         + [f"{counts[name]} {name}" for name in STATES
                            if counts[name] and name != "done"])

    def title(self):
        """'quickstart: 3 seeds, 120 facts, 36 of 36 trials done'."""
        facts = max(sum(int(np.sum(self.folds[w] == h)) for h in
                        set(self.trials["holdout"][self.trials["world"] == w]))
                    for w in set(self.trials["world"]))
        seeds = len(self.seeds)
        return (f"{self.sweep}: {seeds} seed{'s' * (seeds != 1)}, {facts} held-out facts, "
                f"{self.progress()}")


def unpack(row, n):
    return np.unpackbits(row, bitorder="little")[:n]


def missing(reason):
    return Estimate(np.nan, np.nan, np.nan, 0, 0, reason)


def mean(scores):
    zeros = np.zeros_like(scores)
    return _estimate(scores, zeros, zeros, lambda u, f, c: u)


def mean_of_seeds(scores):
    """Of fractions, one a seed, with Student's interval cut at 0 and 1."""
    known = scores[~np.isnan(scores)]
    n = len(known)
    if not n:
        return missing("nothing measured")
    value, low, high = float(known.mean()), np.nan, np.nan
    if n > 1:
        reach = student_point(n - 1) * known.std(ddof=1) / math.sqrt(n)
        low, high = max(0.0, value - reach), min(1.0, value + reach)
    return Estimate(value, low, high, n, 1, None)


@functools.lru_cache(maxsize=None)
def student_point(freedom):
    """The t that |T| exceeds in 5 % of cases, by halving."""
    low, high = 0, math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        if _student_within(angle, freedom) < 0.95:
            low = angle
        else:
            high = angle
    return math.sqrt(freedom) * math.tan(low)


def _student_within(angle, freedom):
    """P(|T| <= sqrt(freedom) tan(angle)): Abramowitz & Stegun, 26.7.3 and 26.7.4."""
    odd = freedom % 2
    term, total = math.cos(angle) if odd else 1, 0
    for k in range(odd, freedom - 1, 2):
        total += term
        term *= math.cos(angle) ** 2 * (k + 1) / (k + 2)
    total *= math.sin(angle)
    return (angle + total) * 2 / math.pi if odd else total


def recovery(unlearned, floor, ceiling):
    return _estimate(unlearned, floor, ceiling, _recovery_of)


def _recovery_of(unlearned, floor, ceiling):
    gap = np.asarray(ceiling - floor)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(gap >= SMALLEST_GAP, (unlearned - floor) / gap, np.nan)


def _estimate(unlearned, floor, ceiling, statistic):
    """Two-way percentile bootstrap: seeds and facts drawn independently."""
    known = ~(np.isnan(unlearned) | np.isnan(floor) | np.isnan(ceiling))
    seeds, facts = known.any(axis=1), known.any(axis=0)
    parts = [np.where(known, part, 0)[seeds][:, facts]
             for part in (np.ones_like(unlearned), unlearned, floor, ceiling)]
    n_seeds, n_facts = parts[0].shape
    if not n_seeds:
        return missing("nothing measured")
    n, *sums = (part.sum() for part in parts)
    value = float(statistic(*(total / n for total in sums)))
    if np.isnan(value):
        return Estimate(value, np.nan, np.nan, n_seeds, n_facts, "ceiling too near floor")
    low, high = _interval(parts, statistic) if parts[0].size > 1 else (np.nan, np.nan)
    return Estimate(value, low, high, n_seeds, n_facts, None)


@functools.lru_cache(maxsize=16)
def _drawn(count, axis):
    """[RESAMPLES, count]: how often each resample holds each of count seeds or facts."""
    rng = np.random.default_rng([axis, count])
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(float)


def _interval(parts, statistic):
    seeds, facts = (_drawn(count, axis) for axis, count in enumerate(parts[0].shape))
    n, *sums = (((seeds @ part) * facts).sum(axis=1) for part in parts)
    with np.errstate(invalid="ignore"):
        values = statistic(*(total / n for total in sums))
        # One without a value may be anything: below all others, and above all.
        low = np.percentile(np.where(np.isnan(values), -np.inf, values), 2.5)
        high = np.percentile(np.where(np.isnan(values), np.inf, values), 97.5)
    return (low, high) if np.isfinite([low, high]).all() else (np.nan, np.nan)


def arguments(description, output):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("file", help="results file of a sweep, finished or still running")
    parser.add_argument("-o", "--output", required=True, metavar=output)
    return parser


def run(script):
    """Call script(); what it cannot read or write is one line and exit status 2."""
    try:
        script()
    except (ResultsError, OSError) as error:
        print(f"{os.path.basename(sys.argv[0])}: {error}", file=sys.stderr)
        sys.exit(2)
