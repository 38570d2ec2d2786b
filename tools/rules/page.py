"""What a rule is given, and what comes out of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml
from nbformat import NotebookNode

from tools.notebook_form import code_cells, parse, tags
from tools.rules.papers import papers_in_bibliography

Finding = tuple[int | None, str]
Rule = Callable[["Page"], Iterator[Finding]]

CODE_IN_MARKDOWN = re.compile(
    r"^(?P<fence>```+|~~~+)(?!\{).*?^(?P=fence)|`[^`\n]+`", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Problem:
    """One broken rule, and where."""

    rule: str
    place: int | None
    message: str

    def __str__(self) -> str:
        """The part of a message that follows the notebook's path."""
        return f"{f'cell {self.place}: ' if self.place else ''}[{self.rule}] {self.message}"


@dataclass(frozen=True)
class Book:
    """What the rules need to know of the book around a notebook."""

    repository: dict[str, str]
    papers: frozenset[str]

    @classmethod
    def load(cls, root: Path) -> Book:
        """Read the repository from _config.yml and the papers from book/references.bib, where these exist."""
        config, bibliography = root / "_config.yml", root / "book" / "references.bib"
        settings = yaml.safe_load(config.read_text(encoding="utf-8")) if config.exists() else {}
        entries = bibliography.read_text(encoding="utf-8") if bibliography.exists() else ""
        return cls(settings.get("repository") or {}, papers_in_bibliography(entries))


@dataclass(frozen=True)
class Page:
    """A notebook as it stands in its file, in its book. Rules read it and change nothing."""

    text: str
    book: Book

    @cached_property
    def nb(self) -> NotebookNode:
        """The notebook.

        Raises:
            NotebookError: the text is no valid notebook.
        """
        return parse(self.text)

    @property
    def kind(self) -> str | None:
        """What metadata.book says the notebook is."""
        book = self.nb.metadata.get("book", {})
        return book.get("kind") if isinstance(book, dict) else None

    @property
    def cells(self) -> list[tuple[int, NotebookNode]]:
        """All cells with their places, counted from 1."""
        return list(enumerate(self.nb.cells, 1))

    @property
    def code(self) -> list[tuple[int, NotebookNode]]:
        """The code cells with their places among all cells."""
        return code_cells(self.nb)

    @property
    def prose(self) -> list[tuple[int, str]]:
        """What is read as text, by place: markdown without its code, and figure captions."""
        markdown = [
            (p, CODE_IN_MARKDOWN.sub("", c.source)) for p, c in self.cells if c.cell_type == "markdown"
        ]
        captions = [(p, figure_of(c).get("caption") or "") for p, c in self.code]
        return markdown + captions

    def tagged(self, tag: str) -> list[tuple[int, NotebookNode]]:
        """The cells that carry a tag."""
        return [(place, cell) for place, cell in self.cells if tag in tags(cell)]


def code_lines(cell: NotebookNode) -> int:
    """How many lines of a cell hold something; the blank ones that a formatter adds cost a reader nothing."""
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def figure_of(cell: NotebookNode) -> dict:
    """The `figure` entry of a cell's MyST-NB metadata, or an empty one."""
    return cell.metadata.get("mystnb", {}).get("figure", {})


def texts_of(output: NotebookNode) -> list[str]:
    """The texts in an output; pictures are none."""
    if output.output_type == "stream":
        return [output.text]
    if output.output_type == "error":
        return [output.evalue, *output.traceback]
    return [str(data) for mime, data in output.data.items() if not mime.startswith("image/")]


def statements(cell: NotebookNode) -> list[ast.stmt]:
    """The statements of a code cell; none if it is not plain Python, as with a magic."""
    try:
        return ast.parse(cell.source).body
    except SyntaxError:
        return []
