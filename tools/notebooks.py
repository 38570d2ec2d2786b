"""Keep the notebooks executed, in normal form, and in step with their prose.

python -m tools.notebooks                      execute and rewrite every notebook of the book
python -m tools.notebooks book/2-core          … of one folder, or one notebook
python -m tools.notebooks --check PATH …       execute, write nothing, fail on any difference
python -m tools.notebooks --static PATH …      execute nothing: check the rules alone
"""

from __future__ import annotations

import argparse
import difflib
import sys
from copy import deepcopy
from itertools import islice
from pathlib import Path

from nbformat import NotebookNode

from tools import notebook_env, rules
from tools.make import CELL_TIMEOUT, DEFAULT_BOOK, ROOT, find_notebooks
from tools.notebook_form import (
    NotebookError,
    fill_bootstrap,
    normalise,
    number_cells,
    parse,
    read,
    serialise,
    write,
)
from tools.notebook_numbers import settle
from tools.notebook_run import Progress, execute
from tools.rules import Book, Page

DIFFERENCE_LINES = 12


def refreshed(nb: NotebookNode, book: Book, folder: Path, timeout: int, progress: Progress) -> NotebookNode:
    """A copy of a notebook with bootstrap cell, outputs, counts and numbers made anew.

    Raises:
        NotebookError: a cell failed, or a number in prose cannot be written.
    """
    nb = deepcopy(nb)
    normalise(nb)
    fill_bootstrap(nb, book.repository)
    execute(nb, folder, timeout, progress.cell)
    number_cells(nb)
    normalise(nb)
    if errors := settle(nb).errors:
        raise NotebookError("\n".join(f"cell {place}: [numbers] {message}" for place, message in errors))
    return nb


def difference(old: str, new: str) -> str:
    """The first lines in which two notebooks differ, pictures cut short."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    changes = (line[:160] for line in lines if not line.startswith(("---", "+++", "@@")))
    return "\n".join(f"    {line}" for line in islice(changes, DIFFERENCE_LINES))


def refresh(
    path: Path, book: Book, progress: Progress, *, check: bool, timeout: int
) -> tuple[str, list[str]]:
    """Execute one notebook and bring its file up to date, or only say whether it is.

    Returns:
        The outcome in a word or two, and the problems found.
    """
    old = read(path)
    try:
        nb = parse(old)
        progress.cells = len(nb.cells)
        new = serialise(refreshed(nb, book, path.parent, timeout, progress))
    except NotebookError as error:
        return "failed, file untouched", str(error).splitlines()
    if old == new:
        outcome, problems = "unchanged", []
    elif check:
        outcome, problems = "differs", [f"differs from a fresh run:\n{difference(old, new)}"]
    else:
        write(path, new)
        outcome, problems = "written", []
    return outcome, problems + broken_rules(new, book)


def broken_rules(text: str, book: Book) -> list[str]:
    """The problems of a notebook, as messages."""
    try:
        return [str(problem) for problem in rules.check(Page(text, book))]
    except NotebookError as error:
        return [f"[format] {error}"]


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="execute, write nothing, fail on any difference")
    mode.add_argument("--static", action="store_true", help="execute nothing: check the rules alone")
    parser.add_argument(
        "--timeout", type=int, default=CELL_TIMEOUT, metavar="S", help="seconds a cell may take"
    )
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks or folders (default: the whole book)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; 0 if all is well."""
    args = arguments(argv)
    try:
        paths = find_notebooks(args.paths or [ROOT / part for part in DEFAULT_BOOK])
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    book = Book.load(ROOT)
    if not args.static:
        notebook_env.apply()
    progress = Progress(len(paths), sys.stdout)
    failed = 0
    for path in paths:
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        if args.static:
            problems = broken_rules(read(path), book)
        else:
            progress.begin(shown, cells=0)
            outcome, problems = refresh(path, book, progress, check=args.check, timeout=args.timeout)
            progress.end(outcome)
        for problem in problems:
            print(f"{shown}: {problem}")
        failed += bool(problems)
    print(f"{len(paths)} notebook{'s' * (len(paths) != 1)}, {failed or 'none'} with problems")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
