"""Rules about the file: its kind, its tags, its bootstrap cell, its normal form."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

from tools.notebook_form import bootstrap_source, normalise, serialise, tags
from tools.rules.page import Finding, Page

SECTIONS = (
    "question",
    "breaks",
    "worked",
    "companion",
    "experiment",
    "often-said",
    "limits",
    "copy",
    "exercises",
    "summary",
)
KNOWN_TAGS = {
    *SECTIONS,
    *("bootstrap", "setup", "claims", "exercise", "solution"),
    *("hide-input", "hide-output", "hide-cell", "remove-input", "remove-output", "remove-cell"),
    *("nbval-ignore-output", "raises-exception", "full-width", "margin", "scroll-output"),
}


def kind(page: Page) -> Iterator[Finding]:
    """A notebook says what it is: a chapter or a page."""
    if page.kind not in ("chapter", "page"):
        yield None, 'metadata.book must be {"kind": "chapter"} or {"kind": "page"}'


def known_tags(page: Page) -> Iterator[Finding]:
    """Tags are spelt as the tools know them; none keeps a cell from running."""
    for place, cell in page.cells:
        for tag in tags(cell):
            if tag not in KNOWN_TAGS:
                yield place, f"unknown tag {tag!r}"
    for place, cell in page.code:
        if "# NBVAL" in cell.source.upper():
            yield place, "steers the comparison from a comment; use the tag nbval-ignore-output"


def bootstrap(page: Page) -> Iterator[Finding]:
    """The first code cell, and no other, is the bootstrap cell, as _config.yml makes it."""
    cells = page.tagged("bootstrap")
    if len(cells) != 1 or not page.code or cells[0][0] != page.code[0][0]:
        yield None, "the first code cell, and no other, must carry the tag bootstrap"
        return
    ((place, cell),) = cells
    if "remove-cell" not in tags(cell):
        yield place, "the bootstrap cell must also carry the tag remove-cell: the site does not show it"
    if cell.source != bootstrap_source(page.book.repository):
        yield place, "is not what _config.yml makes of it; `make refresh` writes it"


def normal_form(page: Page) -> Iterator[Finding]:
    """The file is as the authoring tool writes it."""
    nb = deepcopy(page.nb)
    normalise(nb)
    normal, actual = serialise(nb), page.text
    if normal == actual:
        return
    pairs = zip(normal.splitlines(), actual.splitlines(), strict=False)
    number = next((i for i, (a, b) in enumerate(pairs, 1) if a != b), None)
    where = f"first at line {number}" if number else "at its end"
    yield None, f"the file is not in normal form, {where}; `make refresh` writes it"
