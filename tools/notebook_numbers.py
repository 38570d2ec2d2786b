"""Numbers in prose that code has recorded.

Code says `show.record("w_max", 0.5761)`, prose says `**0.576<!--=w_max:.3f-->**`. The comment is invisible on
the site, in JupyterLab and on Colab; the number before it is written by `settle`, and by nobody else. What
follows the colon is a Python format. Figure captions may quote numbers in the same way.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field

from nbformat import NotebookNode

RECORD = "application/papermill.record/text/plain"
# A number, or a word that stands for one; brackets, markup and signs such as = end it.
WORD = r"[^\s*`|()\[\]{}$<>=≈~×\"“”]"
MARKER = re.compile(rf"(?P<shown>{WORD}*)<!--=(?P<name>[^:]*?)(?::(?P<format>.*?))?-->", re.DOTALL)
SHOWABLE = re.compile(rf"{WORD}+")


@dataclass
class Settled:
    """What became of the markers of a notebook; every entry is a cell's place and a sentence."""

    errors: list[tuple[int, str]] = field(default_factory=list)
    """Markers and records that mean nothing: the author must act."""
    stale: list[tuple[int, str]] = field(default_factory=list)
    """Numbers that were not the recorded ones; they are now."""


def settle(nb: NotebookNode) -> Settled:
    """Write the recorded values into the prose that quotes them, and say what was wrong."""
    settled = Settled()
    values = recorded(nb, settled.errors)
    for place, holder, key in quoting_texts(nb):

        def replacement(match: re.Match[str], place: int = place) -> str:
            marker = match[0][len(match["shown"]) :]
            try:
                value = formatted(match, values)
            except ValueError as error:
                settled.errors.append((place, f"number marker {marker}: {error}"))
                return match[0]
            if value != match["shown"]:
                settled.stale.append((place, f"shows {match['shown']}{marker} where {value} was recorded"))
            return value + marker

        holder[key], count = MARKER.subn(replacement, holder[key])
        if count != holder[key].count("<!--="):
            settled.errors.append((place, "a number marker lacks its closing -->"))
    return settled


def recorded(nb: NotebookNode, errors: list[tuple[int, str]]) -> dict[str, object]:
    """The values a notebook recorded, by name; names recorded twice or unreadably are added to `errors`."""
    values: dict[str, object] = {}
    for place, cell in enumerate(nb.cells, 1):
        for output in cell.get("outputs", []):
            if RECORD not in output.get("data", {}):
                continue
            name, text = output.metadata.get("scrapbook", {}).get("name", ""), output.data[RECORD]
            if name in values:
                errors.append((place, f"records {name!r} a second time: give it a name of its own"))
            try:
                values[name] = ast.literal_eval(text)
            except (ValueError, SyntaxError):
                errors.append((place, f"records {name!r} as {text}, which is neither a number nor a string"))
    return values


def quoting_texts(nb: NotebookNode) -> Iterator[tuple[int, MutableMapping[str, str], str]]:
    """Where markers may stand: a cell's place, and the mapping and key that hold the text."""
    for place, cell in enumerate(nb.cells, 1):
        if cell.cell_type == "markdown":
            yield place, cell, "source"
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if "caption" in figure:
            yield place, figure, "caption"


def formatted(match: re.Match[str], values: Mapping[str, object]) -> str:
    """The text that belongs before a marker.

    Raises:
        ValueError: nothing stands there to be replaced, the name is unknown, or the format does not fit.
    """
    name, spec = match["name"], match["format"] or ""
    if not match["shown"]:
        raise ValueError("no number stands directly before it; write a ? there to begin with")
    if name not in values:
        raise ValueError(f"no cell records {name!r}; recorded are: {', '.join(sorted(values)) or 'none'}")
    try:
        text = format(values[name], spec)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{values[name]!r} cannot be formatted with {spec!r}: {error}") from None
    if not SHOWABLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a single word, so its end could not be found again")
    return text
