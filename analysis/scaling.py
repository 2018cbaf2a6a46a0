#!/usr/bin/env python3
"""results/SWEEP.h5 ... -> PNG -> the figure of recovery against model size.

A panel per attack, and per whatever else differs between cells of one and the same size; what
differs between sizes alone (a pretraining rate for each, in one file or several) makes none.
A line per method: at each size its setting with the least recovery of those that damage no
seed, as `palimpsest show` chooses it. Works on files whose sweeps are still running.
"""

import packages  # before what may be missing

import numpy as np
from matplotlib.lines import Line2D

import choice
import figure
import output
import results as res

#: parameters of the blocks in millions, as `palimpsest list models` prints them
BLOCKS = {"nano": 0.10, "micro": 0.79, "small": 4.74, "medium": 25.22, "large": 85.05,
          "xl": 151.15, "llama-nano": 0.09, "llama-micro": 0.74, "llama-small": 4.35,
          "llama-medium": 23.21, "llama-large": 75.52, "llama-xl": 154.40}
STYLES = {"": "o", "llama": "s"}  # of architecture -> marker


def style_of(cell):
    return cell.model.rpartition("-")[0]


def condition(cell):
    return {key: value for key, value in choice.parts(cell).items()
            if key not in ("model.size", "attack.kind") and not key.startswith("unlearn.")}


def may_follow_size(key):
    return key == "model.precision" or key.startswith("pretrain.") and "taught" not in key


def panels(cells):
    """{label: cells}, a panel each."""
    conditions = {cell: condition(cell) for cell in cells}
    at_one_size = {key for size in {cell.model for cell in cells} for key in res.varying(
        [conditions[cell] for cell in cells if cell.model == size])}
    keys = [key for key in res.varying(list(conditions.values()))
            if key in at_one_size or not may_follow_size(key)]
    found = {}
    for cell in cells:
        words = [cell.attack, res.label(conditions[cell], keys)]
        found.setdefault(", ".join(filter(None, words)), []).append(cell)
    return found


def least(cells):
    """The cell with the least recovery of those without a damaged seed, if there are any;
    else the one with the largest retain; None if no recovery is known."""
    recovery = {cell: cell.corrected().value for cell in cells}
    known = [cell for cell in cells if not np.isnan(recovery[cell])]
    whole = [cell for cell in known if not cell.damaged()]
    return min(whole, key=recovery.get) if whole else max(
        known, key=lambda cell: cell.retain().value, default=None)


def lines(cells):
    """{(method, style of architecture): the least cell of each size, the smallest first}."""
    found = {}
    for cell in cells:
        of_size = found.setdefault((cell.method, style_of(cell)), {})
        of_size.setdefault(cell.model, []).append(cell)
    chosen = {line: [least(of_size[size]) for size in sorted(of_size, key=BLOCKS.get)]
              for line, of_size in found.items()}
    return {line: list(filter(None, cells)) for line, cells in chosen.items()}


def draw_lines(recovery, accuracy, found, colors):
    for (method, style), cells in found.items():
        if not cells:
            continue
        aside = 1.04 ** (list(colors).index(method) - (len(colors) - 1) / 2)
        x = [BLOCKS[cell.model] * aside for cell in cells]
        damaged = [cell.damaged() for cell in cells]
        drawn = colors[method], damaged
        figure.series(recovery, x, [cell.corrected() for cell in cells], *drawn,
                      marker=STYLES[style])
        figure.series(accuracy, x, [cell.accuracy("bits") for cell in cells], *drawn,
                      marker=STYLES[style])
        accuracy.plot(x, [cell.accuracy("bits_before").value for cell in cells], ":",
                      color=colors[method], marker=STYLES[style], markersize=3)


def draw_levels(axes, cells):
    """Floor and ceiling of each size."""
    for style, marker in STYLES.items():
        first = {cell.model: cell for cell in reversed(cells) if style_of(cell) == style}
        for level, color, line in ((res.Cell.floor, figure.FLOOR, "--"),
                                   (res.Cell.ceiling, figure.CEILING, "-.")):
            known = [(BLOCKS[size], level(first[size]).accuracy("bits"))
                     for size in sorted(first, key=BLOCKS.get) if level(first[size])]
            if known:
                figure.series(axes, *zip(*known), color, marker=marker, markersize=3,
                              linestyle=line, linewidth=1)


def legend(colors, styles):
    line = dict(marker="o", markersize=5)
    control = dict(marker="o", markersize=3, linewidth=1)
    entries = [(Line2D([], [], color=color, **line), method)
               for method, color in colors.items()]
    if len(styles) > 1:
        entries.append((Line2D([], [], color="black", marker="s", markersize=5),
                        "squares: Llama style"))
    return entries + [
        (Line2D([], [], color="black", linestyle=":", marker="o", markersize=3),
         "V before the attack"),
        (Line2D([], [], color=figure.CEILING, linestyle="-.", **control),
         "ceiling: not unlearned, after it"),
        (Line2D([], [], color=figure.FLOOR, linestyle="--", **control),
         "floor: never taught, after it"),
        (Line2D([], [], color="black", linestyle="", marker="o", markerfacecolor="white"),
         f"hollow: retain < {res.SMALLEST_RETAIN:g} in some seed"),
    ]


def title(files):
    return "\n".join([file.title() for file in files] + [
        "each method at its setting with the least recovery",
        f"of those with retain >= {res.SMALLEST_RETAIN:g}, chosen after the fact",
        figure.intervals(min(files, key=lambda file: len(file.seeds)))])


def draw(files, only=()):
    cells = choice.narrow([cell for file in files for cell in file.cells
                           if cell.role == res.UNLEARNS], only)
    unknown = [cell.model for cell in cells if cell.model not in BLOCKS]
    if unknown:
        raise res.ResultsError(f"model.size={unknown[0]}: no such size in analysis/scaling.py")
    if len({cell.model for cell in cells}) < 2:
        raise res.ResultsError("unlearned models of one size only; give a file with several "
                               "of model.size, or one for each")
    found = panels(cells)
    choice.require_few(2 * len(found), cells)
    colors = {method: figure.SERIES[i % len(figure.SERIES)]
              for i, method in enumerate(dict.fromkeys(cell.method for cell in cells))}
    drawn, grid = figure.page(
        [figure.Row("recovery", list(found)), figure.Row("accuracy on V", list(found))],
        title(files), legend(colors, {style_of(cell) for cell in cells}))
    lowest, highest = 0.0, 1.0
    for recovery, accuracy, here in zip(*grid, found.values()):
        chosen = lines(here)
        draw_lines(recovery, accuracy, chosen, colors)
        draw_levels(accuracy, here)
        values = [cell.corrected().value for cells in chosen.values() for cell in cells]
        lowest, highest = min([lowest, *values]), max([highest, *values])
    sizes = [BLOCKS[cell.model] for cell in cells]
    for axes in drawn.axes:
        axes.set_xscale("log")
        axes.set_xlim(min(sizes) / 2, max(sizes) * 2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel("parameters in blocks (millions)")
        axes.set_ylim(0, 1.03)
    for axes in grid[0]:
        axes.set_ylim(lowest - 0.1, highest + 0.1)
    grid[0][0].set_ylabel("corrected recovery")
    grid[1][0].set_ylabel("accuracy (fraction right)")
    return drawn


def main():
    parser = res.arguments(__doc__.splitlines()[0], "OUT.png")
    parser.add_argument("more", nargs="*", help="files of other sizes")
    choice.argument(parser)
    options = parser.parse_args()
    files = [res.Results(path) for path in (options.file, *options.more)]
    for file in files:
        file.require_done()
        output.check(options.output, file.path, output.PICTURES)
    figure.save(draw(files, options.only), options.output)


if __name__ == "__main__":
    res.run(main)
