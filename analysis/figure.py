"""What the figures share: colours, error bars, saving."""

import os

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import output

# Okabe & Ito's colours, told apart with any colour vision.
BEFORE, AFTER, RETAIN = "#56B4E9", "#D55E00", "#7F7F7F"
CEILING, FLOOR = "#009E73", "#8A4B77"
SERIES = ("#D55E00", "#0072B2", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")

plt.rcParams.update({
    "font.size": 9, "axes.titlesize": 10, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#E8E8E8",
    "axes.axisbelow": True, "legend.frameon": False, "savefig.dpi": 150,
})


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
        figure.savefig(file, format=os.path.splitext(path)[1][1:])
    plt.close(figure)
