"""Heat maps, curves, source code, recorded numbers and exercise checks for chapters.

Copy this file alone; it needs matplotlib, NumPy and IPython. Nothing else in the
package imports it.
"""

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

FIGURE_SIZE = (6.0, 3.5)
"""Inches; one size for every figure but heat maps, which are square."""

# Colour is never the only difference: each line also has its own dashes and marker.
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
_MARKERS = ("o", "s", "^", "D", "v", "P")


def use_style() -> None:
    """Set the figure style: one size, a colour-blind safe cycle, a light frame."""
    plt.style.use("petroff10")
    plt.rcParams.update(
        {
            "figure.figsize": FIGURE_SIZE,
            "figure.dpi": 120,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": "medium",
            "legend.frameon": False,
        }
    )


def heatmap(
    weights: Any,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    *,
    ax: Axes | None = None,
    title: str | None = None,
    values: bool = False,
    signed: bool = False,
    limit: float | None = None,
) -> Axes:
    """Draw one matrix, a row a query, a column a key; zero is always the same colour.

    Args:
        weights: Tensor or array `(T, S)`.
        rows: `T` labels; positions 0, 1, … if None.
        columns: `S` labels; positions 0, 1, … if None.
        ax: Where to draw; a new square figure if None.
        title: Title of the panel.
        values: Write each entry into its cell.
        signed: Entries may be negative: a diverging map with white at zero.
        limit: Largest magnitude of the colour scale; the matrix's own if None.

    Returns:
        The axes drawn on.

    Raises:
        ValueError: `weights` is no matrix, labels do not fit it, or it is negative
            without `signed`.
    """
    matrix = _array(weights)
    if matrix.ndim != 2:
        raise ValueError(f"weights must be a matrix (T, S): got shape {matrix.shape}")
    for name, labels, size in (
        ("rows", rows, matrix.shape[0]),
        ("columns", columns, matrix.shape[1]),
    ):
        if labels is not None and len(labels) != size:
            raise ValueError(f"{name} must have {size} labels: got {len(labels)}")
    if not signed and matrix.min() < 0:
        raise ValueError(
            f"weights must not be negative unless signed=True: got {matrix.min():.3g}"
        )
    if ax is None:
        _, ax = plt.subplots(figsize=(4.2, 4.2))
    limit = float(np.abs(matrix).max()) if limit is None else limit
    low, cmap = (-limit, "RdBu_r") if signed else (0.0, "viridis")
    image = ax.imshow(matrix, cmap=cmap, vmin=low, vmax=limit or 1.0)
    ax.set_xticks(
        range(matrix.shape[1]),
        columns if columns is not None else range(matrix.shape[1]),
    )
    ax.set_yticks(
        range(matrix.shape[0]), rows if rows is not None else range(matrix.shape[0])
    )
    if columns is not None and max(map(len, columns)) > 2:
        ax.tick_params(axis="x", rotation=90)
    ax.spines[:].set_visible(False)
    ax.set_title(title)
    if values:
        for (i, j), entry in np.ndenumerate(matrix):
            shade = image.cmap(image.norm(entry))
            dark = (
                sum(
                    c * w for c, w in zip(shade[:3], (0.299, 0.587, 0.114), strict=True)
                )
                < 0.5
            )
            ax.text(
                j,
                i,
                f"{entry:.2f}",
                ha="center",
                va="center",
                fontsize=8,
                color="w" if dark else "k",
            )
    return ax


def curves(
    x: Sequence[float],
    lines: Mapping[str, Any],
    *,
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
    log: str = "",
) -> Axes:
    """Draw one line per entry: the median over seeds, with a band over their range.

    Args:
        x: `n` positions on the horizontal axis.
        lines: Label to values, `(n,)` or `(seeds, n)`.
        xlabel: Name of the horizontal axis, with its unit.
        ylabel: Name of the vertical axis, with its unit.
        ax: Where to draw; a new figure if None.
        log: Logarithmic axes: any of `"x"`, `"y"`, `"xy"`.

    Returns:
        The axes drawn on.

    Raises:
        ValueError: A line has not one value per position.
    """
    if ax is None:
        _, ax = plt.subplots()
    for i, (label, runs) in enumerate(lines.items()):
        runs = np.atleast_2d(_array(runs))
        if runs.shape[1] != len(x):
            raise ValueError(
                f"line {label!r} must have {len(x)} values a seed: "
                f"got shape {runs.shape}"
            )
        (line,) = ax.plot(
            x,
            np.median(runs, 0),
            linestyle=_DASHES[i % 6],
            marker=_MARKERS[i % 6],
            markersize=4,
            label=label,
        )
        if len(runs) > 1:
            ax.fill_between(
                x,
                runs.min(0),
                runs.max(0),
                color=line.get_color(),
                alpha=0.2,
                linewidth=0,
            )
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if "x" in log:
        ax.set_xscale("log", base=2)
        ax.set_xticks(x, [f"{v:g}" for v in x])
        ax.minorticks_off()
    elif all(float(v).is_integer() for v in x):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if "y" in log:
        ax.set_yscale("log")
    if len(lines) > 1:
        ax.legend()
    return ax


def source(*objects: Any) -> Markdown:
    """The source code of functions, classes or methods, as it stands in its file.

    A chapter that shows it stores it as output, so that the comparison fails when the
    code changes.

    Raises:
        TypeError: An object has no source of its own, for example because it is built
            in.
    """
    parts = [textwrap.dedent(inspect.getsource(obj)).rstrip() for obj in objects]
    return Markdown("```python\n" + "\n\n\n".join(parts) + "\n```")


def record(name: str, value: float, *, digits: int = 3) -> None:
    """Store a number in the notebook's output, for sentences that quote it.

    Args:
        name: Unique in the notebook; a sentence quotes it as `0.576<!--=name:.3f-->`.
        value: Anything `float` accepts, for example a tensor of one element. Integers
            stay as they are.
        digits: Significant digits kept. Fewer make the stored value hold on other
            processors.

    Raises:
        ValueError: `name` is not an identifier, or the value is not finite.
    """
    if not name.isidentifier():
        raise ValueError(f"name must be an identifier: got {name!r}")
    if not np.isfinite(number := float(value)):
        raise ValueError(f"value must be finite: got {name}={number}")
    kept = (
        int(value)
        if isinstance(value, (int, np.integer))
        else float(f"{number:.{digits}g}")
    )
    prefix = "application/papermill.record/"
    display(
        {f"{prefix}text/plain": repr(kept)},
        raw=True,
        metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
    )


def check(exercise: str, answer: Any, test: Callable[[Any], object]) -> None:
    """Tell a reader how an answer fares.

    Args:
        exercise: Number of the exercise, for example `"4.1"`.
        answer: The reader's answer: a value, a function, a class. None means there is
            none yet.
        test: Called with the answer; raises AssertionError, its message a hint, if the
            answer is wrong.
    """
    if answer is None:
        print(
            f"Exercise {exercise}: nothing to check yet. "
            "Replace the None with your answer."
        )
        return
    try:
        test(answer)
    except AssertionError as error:
        print(f"Exercise {exercise}: not yet. {error}")
    else:
        print(f"Exercise {exercise}: correct.")


def _array(values: Any) -> np.ndarray:
    # A tensor may sit on a GPU, need gradients, or be bfloat16, which NumPy does not
    # know.
    values = values.detach().float().cpu() if hasattr(values, "detach") else values
    return np.asarray(values, dtype=float)
