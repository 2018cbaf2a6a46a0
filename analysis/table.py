#!/usr/bin/env python3
"""results/SWEEP.h5 -> CSV -> the table of `palimpsest show`, one row per cell.

A cell is what shares everything but seed, held-out fold and the attack's learning rate.
`low` and `high` bound the 95 % bootstrap interval; what does not exist is left empty.
"""

import csv

import packages  # before what may be missing

import numpy as np

import output
import results as res

KEYS = ("world", "model", "taught", "method", "coefficient", "unlearn_lr", "unlearn_steps",
        "role", "attack")


def record(cell):
    """One cell as a flat dict, in the order of the columns."""
    floor, ceiling = cell.floor(), cell.ceiling()
    after = cell.accuracy("bits")
    row = {key: getattr(cell, key) for key in KEYS}
    row.update(cell.states, seeds=after.seeds, facts=after.facts)
    for name, estimate in (
            ("v_before", cell.accuracy("bits_before")), ("retain_before", cell.retain()),
            ("v_after", after), ("retain_after", cell.retain("retain_after")),
            ("corrected_recovery", cell.corrected()), ("paper_recovery", cell.paper())):
        row.update({name: estimate.value, f"{name}_low": estimate.low,
                    f"{name}_high": estimate.high})
    row["v_after_max_chosen_on_v"] = cell.accuracy("v_after_max").value
    row["floor"] = floor.accuracy("bits").value if floor else np.nan
    row["ceiling"] = ceiling.accuracy("bits").value if ceiling else np.nan
    row["damaged"], row["ended_early"] = int(cell.damaged()), cell.ended_early()
    row.update(cell.tuning())
    row["setting"], row["attack_setting"] = cell.setting, cell.attack_setting
    return row


def text(value):
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else repr(float(value))
    return str(value)


def main():
    options = res.arguments(__doc__.splitlines()[0], "OUT.csv").parse_args()
    results = res.Results(options.file)
    results.require_done()
    output.check(options.output, options.file)
    records = [record(cell) for cell in results.cells]
    with output.writing(options.output, newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(records[0])
        writer.writerows([text(value) for value in row.values()] for row in records)


if __name__ == "__main__":
    res.run(main)
