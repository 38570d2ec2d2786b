"""Static rules: what a notebook must be, told without running it.

They close the holes of the strict comparison, which skips cells without a count, figures and metadata, and
they hold the chapters to one structure. A rule is a function that takes a `Page` and yields findings: a place
(that of a cell, or None for the whole notebook) and a sentence. Its name, with hyphens, is the rule's id.
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.rules import chapter, form, outputs, prose
from tools.rules.page import Book, Page, Problem, Rule

GENERAL: tuple[Rule, ...] = (
    form.kind,
    form.known_tags,
    form.bootstrap,
    form.normal_form,
    outputs.counts,
    outputs.outputs_present,
    outputs.stderr,
    outputs.errors,
    outputs.machine_traces,
    outputs.output_size,
    outputs.alt_text,
    outputs.caption,
    prose.numbers,
    prose.portable_markdown,
    prose.filler,
    prose.paper_links,
    prose.cell_length,
    prose.prose_before_code,
)
CHAPTER: tuple[Rule, ...] = (
    chapter.opening,
    chapter.sections,
    chapter.setup,
    chapter.claims,
    chapter.exercises,
)

__all__ = ["CHAPTER", "GENERAL", "Book", "Page", "Problem", "check"]


def check(page: Page) -> Iterator[Problem]:
    """Every problem of a page: the general rules for all, the structure of a chapter for chapters."""
    rules = GENERAL + CHAPTER if page.kind == "chapter" else GENERAL
    for rule in rules:
        for place, message in rule(page):
            yield Problem(rule.__name__.replace("_", "-"), place, message)
