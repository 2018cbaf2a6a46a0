#!/usr/bin/env python3
"""results/SWEEP.h5 -> PNG, table (and CSV) -> the calibration figure.

What was really taught of V against what the attack reads back. A perfect ruler reads
chance + (1 - chance) x (fraction of V that pretraining taught). Needs a sweep whose `taught`
has several values (configs/calibration.yaml); works on one that is still running.
"""

import csv

import packages  # before what may be missing

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

import choice
import figure
import output
import results as res

HEADER = ("panel", "model", "asked", "fraction taught", "perfect ruler", "V before",
          "V after", "low", "high", "minus ruler", "retain")
ACROSS, MOST_PANELS = 4.6, 12  # inches a panel; panels in their row


def chance_of(cell):
    return float(cell.results.chance[cell.world])


def ruler(chance, fraction):
    return chance + (1 - chance) * fraction


def series_name(cell):
    return {res.FLOOR: "never taught", res.CEILING: "original"}.get(cell.role)


def panels(cells):
    """{panel label: {series label: cells by fraction asked}}; a panel is a world, model,
    pretraining and attack, a series a method with its parameters."""
    found = {}
    for cell in cells:
        if cell.chosen:
            ground = (res.without(cell.ground, "taught"), cell.attack_setting)
            found.setdefault(ground, {}).setdefault(
                tuple(cell.unlearning.items()), []).append(cell)
    parts = [dict(res.fields(ground), **res.fields(attack)) for ground, attack in found]
    keys = res.varying(parts)
    return {res.label(part, keys): named(series)
            for part, series in zip(parts, found.values())}


def named(series):
    settings = [dict(setting) for setting in series]
    names = {}
    for setting, cells in zip(settings, series.values()):
        same = [s for s in settings if s["method"] == setting["method"]]
        keys = [k for k in res.varying(same) if k != "coefficient"]
        words = [f"{cells[0].method} {cells[0].coefficient:g}", res.label(setting, keys)]
        name = series_name(cells[0]) or ", ".join(filter(None, words))
        names[name] = sorted(cells, key=lambda cell: cell.taught)
    return names


def rows(found):
    for panel, series in found.items():
        for name, cells in series.items():
            for cell in cells:
                fraction = np.nanmean(cell.scores("taught"))
                after, perfect = cell.accuracy("bits"), ruler(chance_of(cell), fraction)
                yield (panel, name, cell.taught, fraction, perfect,
                       cell.accuracy("bits_before").value, after.value, after.low,
                       after.high, after.value - perfect, cell.retain().value)


def print_table(table):
    width = max(len(f"{row[0]} {row[1]}".strip()) for row in table)
    print(f"{'model':{width}}  taught of V  perfect ruler  V before  V after"
          "              minus ruler  retain")
    for panel, name, _, fraction, perfect, before, after, low, high, off, retain in table:
        print(f"{f'{panel} {name}'.strip():{width}}  {fraction:11.2f}  {perfect:13.2f}"
              f"  {before:8.2f}  {after:7.2f} [{low:.2f}, {high:.2f}]"
              f"  {off:+11.2f}  {retain:6.2f}")


def write_csv(table, path):
    with output.writing(path, newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *table])


def draw_panel(axes, series):
    chance = chance_of(next(iter(series.values()))[0])
    axes.plot([0, 1], [ruler(chance, 0), 1], color="#444444", linestyle="--", linewidth=1.2)
    colors = iter(figure.SERIES * (1 + len(series)))
    handles = [(Line2D([], [], color="#444444", linestyle="--"), "perfect ruler")]
    for name, cells in series.items():
        role = cells[0].role
        color = {res.CEILING: figure.CEILING, res.FLOOR: figure.FLOOR}.get(role)
        color = color or next(colors)
        marker = {res.CEILING: "s", res.FLOOR: "D"}.get(role, "o")
        x = [np.nanmean(cell.scores("taught")) for cell in cells]
        damaged = [cell.damaged() for cell in cells]
        figure.series(axes, x, [cell.accuracy("bits") for cell in cells], color, damaged,
                      marker=marker)
        handles.append((Line2D([], [], color=color, marker=marker, markersize=5),
                        f"{name}, after the attack"))
        if role == res.UNLEARNS:
            before = [cell.accuracy("bits_before").value for cell in cells]
            axes.plot(x, before, color=color, linestyle=":", linewidth=1.3, marker=marker,
                      markersize=3)
            handles.append((Line2D([], [], color=color, linestyle=":", marker=marker,
                                   markersize=3), f"{name}, before"))
    axes.legend(*zip(*handles), fontsize=8, loc="upper left")


def draw(results, found):
    width = max(5.8, ACROSS * len(found))
    drawn, grid = plt.subplots(1, len(found), squeeze=False, sharey=True,
                               figsize=(width, 4.9))
    for axes, (name, series) in zip(grid[0], found.items()):
        draw_panel(axes, series)
        axes.set_title("\n".join(figure.wrap(name, ACROSS - 0.4)))
        axes.set_xlabel("fraction of V that pretraining taught")
        axes.set_xlim(-0.03, 1.03)
    grid[0][0].set_ylim(0, 1.03)
    grid[0][0].set_ylabel("V accuracy (fraction right)")
    drawn.suptitle(f"{results.title()}\n{figure.intervals(results)}", fontsize=9)
    drawn.tight_layout()
    return drawn


def main():
    parser = res.arguments(__doc__.splitlines()[0], "OUT.png")
    parser.add_argument("--csv", metavar="OUT.csv", help="write the table there too")
    choice.argument(parser)
    options = parser.parse_args()
    results = res.Results(options.file)
    results.require_done()
    output.check(options.output, options.file, output.PICTURES)
    if options.csv is not None:
        output.check(options.csv, options.file)
    if len({cell.taught for cell in results.cells if cell.role != res.FLOOR}) < 2:
        raise res.ResultsError(f"{options.file}: `taught` has one value only; calibration "
                               "compares several (configs/calibration.yaml)")
    cells = choice.narrow(results.cells, options.only)
    found = panels(cells)
    choice.require_few(len(found), cells, MOST_PANELS)
    table = list(rows(found))
    print_table(table)
    if options.csv is not None:
        write_csv(table, options.csv)
    figure.save(draw(results, found), options.output)


if __name__ == "__main__":
    res.run(main)
