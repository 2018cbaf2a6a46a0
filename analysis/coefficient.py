#!/usr/bin/env python3
"""results/SWEEP.h5 -> PNG -> the figure of accuracy against unlearning coefficient.

One panel per method, one row of panels per world, model, pretraining and attack. Before and
after the attack, retain accuracy, floor and ceiling, with 95 % intervals. Works on a file
whose sweep is still running.
"""

import packages  # before what may be missing

import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

import choice
import figure
import output
import results as res

STYLES = ("-", "--", ":", "-.")


def scale(axes, coefficients):
    """Logarithmic; with room around a single coefficient; 0 has no logarithm."""
    positive = [c for c in coefficients if c > 0]
    if len(positive) < len(coefficients):
        axes.set_xscale("symlog", linthresh=min(positive, default=1.0))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        return
    axes.set_xscale("log")
    axes.set_xlim(min(positive) / 2, max(positive) * 2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if max(positive) < 10 * min(positive):
        axes.set_xticks(sorted(set(positive)))
        axes.minorticks_off()


def variants(cells):
    """[(label, cells in order of coefficient)]: what differs beside the coefficient."""
    found = {}
    for cell in cells:
        rest = {k: v for k, v in cell.unlearning.items() if k != "coefficient"}
        found.setdefault(tuple(rest.items()), []).append(cell)
    keys = res.varying([dict(rest) for rest in found])
    return [(res.label(dict(rest), keys), sorted(same, key=lambda c: c.coefficient))
            for rest, same in found.items()]


def panel(axes, section, cells):
    for level, color, style in ((section.floor, figure.FLOOR, "--"),
                                (section.ceiling, figure.CEILING, "-.")):
        if level is not None:
            figure.band(axes, level.accuracy("bits"), color, style)
    all_variants = variants(cells)
    for i, (_, same) in enumerate(all_variants):
        same = [cell for cell in same if cell.chosen]
        x, style = [cell.coefficient for cell in same], STYLES[i % len(STYLES)]
        damaged = [cell.damaged() for cell in same]
        if not same:
            continue
        figure.series(axes, x, [c.retain() for c in same], figure.RETAIN, damaged,
                      marker="s", markersize=4, linewidth=1, linestyle=style)
        figure.series(axes, x, [c.accuracy("bits_before") for c in same], figure.BEFORE,
                      damaged, linestyle=style)
        figure.series(axes, x, [c.accuracy("bits") for c in same], figure.AFTER,
                      damaged, linestyle=style)
    scale(axes, [cell.coefficient for cell in cells])
    if len(all_variants) > 1:
        axes.legend([Line2D([], [], color="black", linestyle=STYLES[i % len(STYLES)])
                     for i in range(len(all_variants))],
                    ["\n".join(figure.wrap(name, figure.ACROSS)) for name, _ in all_variants],
                    fontsize=7, loc="lower left")


def legend():
    line = dict(linestyle="-", marker="o", markersize=5)
    return [
        (Line2D([], [], color=figure.AFTER, **line), "V after the attack"),
        (Line2D([], [], color=figure.BEFORE, **line), "V before the attack"),
        (Line2D([], [], color=figure.RETAIN, linewidth=1, marker="s", markersize=4),
         "retain (Student's t over seeds)"),
        ((Patch(color=figure.CEILING, alpha=0.15, linewidth=0),
          Line2D([], [], color=figure.CEILING, linestyle="-.")),
         "ceiling: not unlearned, V after the attack"),
        ((Patch(color=figure.FLOOR, alpha=0.15, linewidth=0),
          Line2D([], [], color=figure.FLOOR, linestyle="--")),
         "floor: never taught, V after the attack"),
        (Line2D([], [], color="black", linestyle="", marker="o", markerfacecolor="white"),
         f"hollow: retain < {res.SMALLEST_RETAIN:g} in some seed"),
    ]


def place(sections):
    """Rows of (panel title, section, cells), each with its heading: a row for each section
    and a panel for each method, or four sections in a row if there is one method."""
    methods = list(dict.fromkeys(c.method for s in sections for c in s.cells))
    if len(methods) == 1:
        panels = [(f"{methods[0]}\n{s.label}", s, s.cells) for s in sections]
        return [("", panels[i:i + 4]) for i in range(0, len(panels), 4)]
    rows = [(s.label, [(method, s, [c for c in s.cells if c.method == method])
                       for method in methods]) for s in sections]
    return [(label, [(title if cells else None, s, cells) for title, s, cells in panels])
            for label, panels in rows]


def draw(results, only=()):
    sections = results.sections()
    cells = [cell for section in sections for cell in section.cells]
    if not cells:
        raise res.ResultsError(f"{results.path}: holds no unlearned model, only controls")
    chosen = choice.narrow(cells, only)
    sections = [s._replace(cells=[c for c in s.cells if c in chosen]) for s in sections]
    rows = place([section for section in sections if section.cells])
    panels = sum(bool(title) for _, row in rows for title, *_ in row)
    choice.require_few(panels, chosen, by=("unlearn.method",))
    drawn, grid = figure.page(
        [figure.Row(heading, [title for title, *_ in panels]) for heading, panels in rows],
        f"{results.title()}\n{figure.intervals(results)}", legend())
    for row, (_, panels) in zip(grid, rows):
        row[0].set_ylabel("accuracy (fraction right)")
        for axes, (_, section, cells) in zip(row, [panel for panel in panels if panel[2]]):
            panel(axes, section, cells)
            axes.set_xlabel("unlearning coefficient")
            axes.set_ylim(0, 1.03)
    return drawn


def main():
    parser = res.arguments(__doc__.splitlines()[0], "OUT.png")
    choice.argument(parser)
    options = parser.parse_args()
    results = res.Results(options.file)
    results.require_done()
    output.check(options.output, options.file, output.PICTURES)
    figure.save(draw(results, options.only), options.output)


if __name__ == "__main__":
    res.run(main)
