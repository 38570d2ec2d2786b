"""Draw the face of the book: cover.svg, favicon.svg and social.png in book/assets.

The picture is a small attention pattern and not an ornament: the letters of the title are one-hot vectors,
every letter looks at all the others, and an arc's width is the softmax weight. Letters therefore look at
their own kind.

    python -m tools.cover            write the files
"""

from __future__ import annotations

import math
from pathlib import Path

TITLE = "attention by experiment"
SUBTITLE = ("From self-attention to the Transformer", "and BERT in PyTorch, every claim run.")
ASSETS = Path(__file__).resolve().parents[1] / "book" / "assets"

STEP, LEFT, BASELINE, WIDTH, HEIGHT = 40, 40, 262, 960, 300
ARC_FOOT, FLATTEN = BASELINE - 43, 0.52
COLOURS = {"t": "#3a86c8", "e": "#d97a1e", "n": "#8a63c9", "i": "#1f9a83"}
INK, INK_DARK = "#1d252c", "#e8eaec"


def weights(text: str = TITLE, sharpness: float = 4.0) -> list[list[float]]:
    """Softmax weights of each letter over all other letters; spaces neither look nor are looked at.

    Args:
        text: the letters, in order.
        sharpness: the score of a pair of equal letters; unequal pairs score zero.

    Returns:
        A square table; row i holds what letter i gives to each letter.
    """
    table = []
    for i, query in enumerate(text):
        row = [
            math.exp(sharpness * (query == key)) if i != j and query != " " and key != " " else 0.0
            for j, key in enumerate(text)
        ]
        total = sum(row)
        table.append([w / total if total else 0.0 for w in row])
    return table


def arcs(text: str = TITLE, smallest: float = 0.1) -> list[tuple[int, int, float]]:
    """The pairs worth drawing, longest first, with the mean of the weights in both directions."""
    table = weights(text)
    pairs = [
        (i, j, (table[i][j] + table[j][i]) / 2)
        for i in range(len(text))
        for j in range(i + 1, len(text))
        if table[i][j] >= smallest
    ]
    return sorted(pairs, key=lambda pair: pair[0] - pair[1])


def centre(index: int) -> float:
    """The horizontal centre of a letter."""
    return LEFT + index * STEP


def cover_svg() -> str:
    """The title under its arcs; it follows the colour scheme of the page, or of the system if alone."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="abe-cover" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'role="img" aria-labelledby="abe-cover-title">',
        '<title id="abe-cover-title">The letters of the title “attention by experiment”, joined by arcs: '
        "each letter attends to the others of its kind, and the fewer there are, the wider the arc.</title>",
        "<style>",
        f".abe-cover {{ color: {INK}; }}",
        f"@media (prefers-color-scheme: dark) {{ .abe-cover {{ color: {INK_DARK}; }} }}",
        ".abe-cover text { font: 500 44px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', "
        "monospace; text-anchor: middle; fill: currentColor; }",
        ".abe-cover path { fill: none; stroke-linecap: round; opacity: 0.8; }",
        "</style>",
    ]
    for i, j, weight in arcs():
        radius = (centre(j) - centre(i)) / 2
        lines.append(
            f'<path stroke="{COLOURS[TITLE[i]]}" stroke-width="{8 * weight:.2f}" '
            f'd="M{centre(i):g} {ARC_FOOT} A{radius:g} {radius * FLATTEN:g} 0 0 1 {centre(j):g} {ARC_FOOT}"/>'
        )
    lines += [
        f'<text x="{centre(i):g}" y="{BASELINE}">{letter}</text>'
        for i, letter in enumerate(TITLE)
        if letter != " "
    ]
    return "\n".join([*lines, "</svg>", ""])


def favicon_svg() -> str:
    """Three tokens, two arcs."""
    blue, orange = COLOURS["t"], COLOURS["e"]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">\n'
        '<g fill="none" stroke-width="3" stroke-linecap="round">'
        f'<path stroke="{blue}" d="M5 21 A11 15 0 0 1 27 21"/>'
        f'<path stroke="{orange}" d="M16 21 A5.5 6 0 0 1 27 21"/></g>\n'
        f'<g fill="{blue}"><circle cx="5" cy="26" r="3"/><circle cx="16" cy="26" r="3"/></g>\n'
        f'<circle cx="27" cy="26" r="3" fill="{orange}"/>\n</svg>\n'
    )


def social_png(path: Path) -> None:
    """The preview picture that a link to the book shows: 1200 by 630 pixels, in matplotlib's own font."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Arc

    figure = Figure(figsize=(12, 6.3), dpi=100, facecolor="#fbfaf7")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-120, WIDTH + 120), ylim=(495, -135), aspect="equal")
    axes.axis("off")
    for i, j, weight in arcs():
        span = centre(j) - centre(i)
        axes.add_patch(
            Arc(
                ((centre(i) + centre(j)) / 2, ARC_FOOT),
                span,
                span * FLATTEN,
                theta1=180,
                theta2=360,
                color=COLOURS[TITLE[i]],
                linewidth=7 * weight,
                alpha=0.8,
            )
        )
    mono = {"family": "DejaVu Sans Mono", "color": INK}
    for i, letter in enumerate(TITLE):
        axes.text(centre(i), BASELINE, letter, size=33, ha="center", va="baseline", **mono)
    for line, text in enumerate(SUBTITLE):
        axes.text(
            WIDTH / 2, 342 + 46 * line, text, size=21, ha="center", family="DejaVu Sans", color="#4b5660"
        )
    figure.savefig(path, metadata={"Software": None})


def main() -> None:
    """Write the three files."""
    ASSETS.mkdir(parents=True, exist_ok=True)
    for name, text in (("cover.svg", cover_svg()), ("favicon.svg", favicon_svg())):
        (ASSETS / name).write_text(text, encoding="utf-8", newline="\n")
    social_png(ASSETS / "social.png")


if __name__ == "__main__":
    main()
