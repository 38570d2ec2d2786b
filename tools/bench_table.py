"""The page that shows the stored results of `tools.bench`; a test keeps page and results in step."""

from __future__ import annotations

import math
from itertools import groupby

HEAD = """\
# Speed

<!-- Written by `python -m tools.bench --write` from book/results/bench-*.json. Do not edit: run it. -->

Small code is no excuse for slow code. `make bench` races the companion's encoder against three peers of the
same size and dropout: PyTorch's `nn.TransformerEncoder`, the encoder of Transformers' `BertModel` with the
sdpa kernel, and x-transformers. The contenders take turns, and every round gives one ratio to the fastest
peer, the one with the smallest median. Below 1 is faster. The quartiles show how far to trust the third
digit: contenders whose quartiles overlap are equal.
"""

TAIL = """
Equal is the best one can hope for at this size. Nearly all the time goes into matrix products, which every
contender hands to the same library; what is left to win or lose is overhead. The memory column is what one
training step in float32 adds at its peak.
"""


def page(results: list[dict]) -> str:
    """The whole page for the results of one or more devices, as Markdown."""
    return HEAD + "".join(section(result) for result in results) + TAIL


def section(result: dict) -> str:
    """Table and provenance of one device."""
    size, versions = result["size"], result["versions"]
    lines = [
        f"\n## On {'a GPU' if result['device'] == 'cuda' else 'a CPU'}\n",
        f"{size['num_layers']} layers, width {size['d_model']}, {size['num_heads']} heads, feed-forward "
        f"{size['d_ff']}; batch {size['batch']} × {size['length']} tokens; dropout {result['dropout']}; "
        f"{result['rounds']} rounds.",
    ]
    for (mode, step), rows in groupby(result["rows"], key=lambda row: (row["mode"], row["step"])):
        lines += table(mode, step, list(rows), result["memory"])
    lines.append(
        f"\nMeasured on {result['date']} at commit `{result['commit']}` with `{result['command']}` on "
        f"{result['hardware']}, {result['threads']} threads; Python {versions['python']}, "
        f"torch {versions['torch']}, transformers {versions['transformers']}, "
        f"x-transformers {versions['x-transformers']}.\n"
    )
    return "\n".join(lines)


def table(mode: str, step: str, rows: list[dict], memory: dict[str, float]) -> list[str]:
    """The lines of one race: a title, and a row a contender."""
    # Memory was measured once, for a training step in float32.
    shows_memory = (mode, step) == ("float32", "training")
    lines = [
        f"\n**{'Forward' if step == 'forward' else 'Training step'}, {mode}**\n",
        f"| Contender | Ratio | Quartiles | Time (ms) |{' Memory (MiB) |' if shows_memory else ''}",
        f"|---|---:|---:|---:|{'---:|' if shows_memory else ''}",
    ]
    for row in rows:
        low, high = row["quartiles"]
        mebibytes = memory[row["contender"]]
        known = f"{mebibytes:.0f}" if math.isfinite(mebibytes) else ""
        lines.append(
            f"| {row['contender']} | {row['ratio']:.3f} | {low:.3f} to {high:.3f} "
            f"| {row['milliseconds']:.1f} |{f' {known} |' if shows_memory else ''}"
        )
    return lines
