"""Rules about what is read: numbers, markup, words, links, and the rhythm of prose and code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from statistics import median

from nbformat import NotebookNode

from tools.notebook_form import tags
from tools.notebook_numbers import settle
from tools.rules.page import Finding, Page, code_lines
from tools.rules.papers import papers_in

MYST = {
    "a role": re.compile(r"\{[a-z][\w:.+-]*\}`"),
    "a citation": re.compile(r"\{cite\w*(:\w+)?\}"),
    "a colon fence": re.compile(r"^\s*:::+", re.MULTILINE),
    "a directive": re.compile(r"^\s*(```+|~~~+)\{", re.MULTILINE),
    "a label": re.compile(r"^\([\w-]+\)=\s*$", re.MULTILINE),
}
FILLER = re.compile(
    r"\b(delv(e[sd]?|ing)|game[- ]chang(er|ing)\w*|revolutioni[sz]\w*|powerful(ly)?|seamless(ly)?"
    r"|unlock(s|ed|ing)?|in today['’]s|let(['’]s| us) dive|it(['’]s| is) important to note)\b",
    re.IGNORECASE,
)
VISIBLE_LINES, HIDDEN_LINES, MEDIAN_LINES = 25, 60, 8
HIDING_TAGS = {"hide-input", "hide-cell", "remove-input", "remove-cell"}


def numbers(page: Page) -> Iterator[Finding]:
    """Numbers bound to code are the ones the code recorded."""
    settled = settle(deepcopy(page.nb))
    yield from settled.errors
    for place, message in settled.stale:
        yield place, f"{message}; `make refresh` writes it"


def portable_markdown(page: Page) -> Iterator[Finding]:
    """Markdown reads the same on the site, in JupyterLab and on Colab: no MyST markup."""
    sources = {place: cell.source for place, cell in page.cells if cell.cell_type == "markdown"}
    for place, text in page.prose:
        # A role's text looks like code and a directive's fence is one: seek these two in the raw source.
        for name, pattern in MYST.items():
            raw = sources.get(place, text) if name in ("a role", "a directive") else text
            if found := pattern.search(raw):
                yield place, f"{name} shows raw outside the site: {found[0].strip()!r}"
                break


def filler(page: Page) -> Iterator[Finding]:
    """Prose does not praise its topic and does not clear its throat."""
    for place, text in page.prose:
        for match in FILLER.finditer(text):
            yield place, f"filler: {match[0]!r}"


def paper_links(page: Page) -> Iterator[Finding]:
    """Every paper that is linked stands in the bibliography."""
    for place, cell in page.cells:
        for paper, url in papers_in(cell.source).items():
            if paper not in page.book.papers:
                yield place, f"{url} is not in book/references.bib"


def cell_length(page: Page) -> Iterator[Finding]:
    """Code is short: at most 25 lines where shown, 60 where hidden, and half of the shown cells at most 8."""
    shown_lengths = []
    for place, cell in page.code:
        length = code_lines(cell)
        hidden = HIDING_TAGS & set(tags(cell))
        limit = HIDDEN_LINES if hidden else VISIBLE_LINES
        if length > limit:
            yield place, f"has {length} lines; the limit is {limit}{' for hidden code' if hidden else ''}"
        if not hidden:
            shown_lengths.append(length)
    if shown_lengths and median(shown_lengths) > MEDIAN_LINES:
        yield None, f"the median code cell has {median(shown_lengths):g} lines; the limit is {MEDIAN_LINES}"


def prose_before_code(page: Page) -> Iterator[Finding]:
    """Between two code cells that a reader sees there is a sentence."""
    before: NotebookNode | None = None
    for place, cell in page.cells:
        if cell.cell_type != "code":
            before = None
        elif not {"bootstrap", "hide-cell", "remove-cell", "exercise", "solution"} & set(tags(cell)):
            if before is not None:
                yield place, "follows another code cell without a sentence between them"
            before = cell
