"""What the figures share: colours, a page of panels, error bars, saving."""

import os
import textwrap
from collections import namedtuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import output

# Okabe & Ito's colours, told apart with any colour vision.
BEFORE, AFTER, RETAIN = "#56B4E9", "#D55E00", "#7F7F7F"
CEILING, FLOOR = "#009E73", "#8A4B77"
SERIES = ("#D55E00", "#0072B2", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")

Row = namedtuple("Row", "heading titles")  # a title for each panel, None for a gap

# Inches. A page is as large as its panels, its headings as many lines as they need.
LEFT, ACROSS, NARROWEST = 0.75, 2.5, 5.8
HEIGHT, BESIDE, BELOW = 1.8, 0.2, 0.55
LINE, GAP = 0.17, 0.1
CHARACTER = 0.085

plt.rcParams.update({
    "font.size": 9, "axes.titlesize": 10, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#E8E8E8",
    "axes.axisbelow": True, "legend.frameon": False, "savefig.dpi": 150,
})


def wrap(text, inches):
    """Lines no wider than that."""
    return [line for part in text.splitlines()
            for line in textwrap.wrap(part, int(inches / CHARACTER), break_on_hyphens=False)]


def page(rows, title, entries):
    """Panels in rows, below a title and above a legend of (line, text). Returns the figure
    and for each row the axes of its panels, which share the vertical axis."""
    columns = max(len(row.titles) for row in rows)
    width = max(NARROWEST, LEFT + ACROSS * columns)
    across = (width - LEFT) / columns
    title = wrap(title, width - 2 * GAP)
    legend_columns = max(1, int(width / 2.6))
    below = LINE * -(-len(entries) // legend_columns) + 2 * GAP
    headings = [wrap(row.heading, width - 2 * GAP) for row in rows]
    titles = [[text and wrap(text, across - BESIDE) for text in row.titles] for row in rows]
    above = [LINE * (len(heading) + max(len(text or "") for text in texts)) + 2 * GAP
             for heading, texts in zip(headings, titles)]
    height = LINE * len(title) + GAP + sum(above) + len(rows) * (HEIGHT + BELOW) + below
    drawn, grid = plt.figure(figsize=(width, height)), []
    drawn.suptitle("\n".join(title), fontsize=10, y=1 - GAP / height)
    bottom = height - GAP - LINE * len(title)
    for heading, texts, lines in zip(headings, titles, above):
        drawn.text(GAP / width, (bottom - GAP) / height, "\n".join(heading), va="top",
                   fontweight="bold")
        bottom -= lines + HEIGHT
        grid.append([drawn.add_axes(
            [(LEFT + i * across) / width, bottom / height, (across - BESIDE) / width,
             HEIGHT / height], title="\n".join(text))
            for i, text in enumerate(texts) if text])
        bottom -= BELOW
    for axes in [axes for row in grid for axes in row[1:]]:
        axes.tick_params(labelleft=False)
    drawn.legend(*zip(*entries), loc="lower center", fontsize=8, ncol=legend_columns)
    return drawn, grid


def series(axes, x, estimates, color, damaged=None, **style):
    """Values over x with their intervals; hollow markers where a seed is damaged."""
    values = np.array([e.value for e in estimates])
    bars = np.array([[max(0.0, e.value - e.low), max(0.0, e.high - e.value)]
                     for e in estimates]).T
    line = dict({"marker": "o", "markersize": 5, "linewidth": 1.5}, **style)
    axes.errorbar(x, values, yerr=np.nan_to_num(bars), color=color, capsize=2,
                  elinewidth=1, **line)
    hollow = np.zeros(len(values), bool) if damaged is None else np.array(damaged)
    axes.plot(np.asarray(x)[hollow], values[hollow], line["marker"], color=color,
              markersize=line["markersize"], markerfacecolor="white", zorder=5)


def band(axes, estimate, color, linestyle):
    """A level with its interval."""
    if np.isnan(estimate.value):
        return
    axes.axhline(estimate.value, color=color, linestyle=linestyle, linewidth=1.3, zorder=1)
    if not np.isnan(estimate.low):
        axes.axhspan(estimate.low, estimate.high, color=color, alpha=0.15, linewidth=0)


def intervals(results):
    """The sentence that says what bars and bands are."""
    over = "seeds and facts" if len(results.seeds) > 1 else "facts (one seed)"
    return f"bars and bands: 95 % bootstrap intervals over {over}"


def save(figure, path):
    with output.writing(path, "xb") as file:
        try:
            figure.savefig(file, format=os.path.splitext(path)[1][1:])
        except ValueError as error:  # too many pixels
            raise output.ResultsError(f"cannot write '{path}': {error}") from None
    plt.close(figure)
