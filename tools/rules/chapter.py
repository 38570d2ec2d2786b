"""Rules about the structure that all chapters share."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from nbformat import NotebookNode

from tools.notebook_form import tags
from tools.rules.form import SECTIONS
from tools.rules.page import Finding, Page, code_lines, statements, texts_of

SETUP_LINES = 8
EXERCISES = range(3, 6)
HEADING = re.compile(r"^### Exercise (?P<number>\w+\.\d+) \((?:predict|modify|break|extend)\)", re.MULTILINE)


def opening(page: Page) -> Iterator[Finding]:
    """The first cell has the title and asks the question."""
    first = page.nb.cells[0] if page.nb.cells else None
    if first is None or "question" not in tags(first):
        yield 1, "the first cell must be markdown with the tag question"
        return
    title, _, rest = first.source.partition("\n")
    if not title.startswith("# "):
        yield 1, "the first line must be the title, `# …`"
    if "?" not in rest:
        yield 1, "the chapter's question is missing: no question mark below the title"


def sections(page: Page) -> Iterator[Finding]:
    """The sections of a chapter come once each, in order."""
    found = [(place, tag) for place, cell in page.cells for tag in tags(cell) if tag in SECTIONS]
    for place, tag in found:
        if page.nb.cells[place - 1].cell_type != "markdown":
            yield place, f"the section tag {tag} belongs on a markdown cell"
    names = [tag for _, tag in found]
    for tag in SECTIONS:
        if names.count(tag) != 1:
            yield None, f"the section {tag} must occur once: found {names.count(tag)}"
    if sorted(names) == sorted(SECTIONS) and names != list(SECTIONS):
        yield None, f"the sections must stand in the order {', '.join(SECTIONS)}: found {', '.join(names)}"


def setup(page: Page) -> Iterator[Finding]:
    """One setup cell, short and seeded."""
    cells = page.tagged("setup")
    if len(cells) != 1:
        yield None, f"one code cell must carry the tag setup: found {len(cells)}"
    for place, cell in cells:
        lines = code_lines(cell)
        if lines > SETUP_LINES:
            yield place, f"the setup cell has {lines} lines; the limit is {SETUP_LINES}"
        if "manual_seed(" not in cell.source:
            yield place, "the setup cell sets no seed: call torch.manual_seed"


def claims(page: Page) -> Iterator[Finding]:
    """Claims are asserts, and each says in its message what it asserts."""
    cells = page.tagged("claims")
    if not cells:
        yield None, "no cell carries the tag claims"
    for place, cell in cells:
        body = statements(cell) if cell.cell_type == "code" else []
        if not body or not all(isinstance(statement, ast.Assert) for statement in body):
            yield place, "a claims cell consists of asserts and nothing else"
        elif unsaid := [s for s in body if s.msg is None]:
            yield place, f"an assert without a message claims nothing readable: `{ast.unparse(unsaid[0])}`"


@dataclass
class Exercise:
    """The cells of one exercise."""

    place: int
    number: str
    starters: list[NotebookNode] = field(default_factory=list)
    solutions: list[NotebookNode] = field(default_factory=list)


def exercises(page: Page) -> Iterator[Finding]:
    """Three to five exercises: each a statement, a starter with a check, a solution that passes it."""
    found = yield from collect_exercises(page)
    if len(found) not in EXERCISES:
        yield None, f"a chapter has {EXERCISES[0]} to {EXERCISES[-1]} exercises: found {len(found)}"
    for exercise in found:
        call = re.compile(rf"check\(\s*[\"']{re.escape(exercise.number)}[\"']")
        if len(exercise.starters) != 1 or not call.search(exercise.starters[0].source):
            yield (
                exercise.place,
                f'needs one code cell tagged exercise that calls check("{exercise.number}", …)',
            )
        if len(exercise.solutions) != 1 or "hide-cell" not in tags(exercise.solutions[0]):
            yield exercise.place, "needs one code cell tagged solution and hide-cell"
        for solution in exercise.solutions:
            output = "".join(text for out in solution.outputs for text in texts_of(out))
            if f"Exercise {exercise.number}: correct" not in output:
                yield (
                    exercise.place,
                    f"its solution does not print `Exercise {exercise.number}: correct`: {output[:80]!r}",
                )


def collect_exercises(page: Page) -> Iterator[Finding]:
    """Gather the cells of each exercise under its statement; findings are yielded, the exercises returned."""
    found: list[Exercise] = []
    for place, cell in page.cells:
        if cell.cell_type == "markdown" and "exercise" in tags(cell):
            heading = HEADING.match(cell.source)
            if heading:
                found.append(Exercise(place, heading["number"]))
            else:
                yield (
                    place,
                    "an exercise begins with `### Exercise 4.1 (predict) …`, or modify, break, extend",
                )
        elif {"exercise", "solution"} & set(tags(cell)):
            if not found:
                yield place, "stands before the statement of its exercise"
            elif "solution" in tags(cell):
                found[-1].solutions.append(cell)
            else:
                found[-1].starters.append(cell)
    return found
