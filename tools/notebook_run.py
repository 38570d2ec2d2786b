"""Executing a notebook, and saying meanwhile how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from tools.notebook_form import NotebookError


def execute(nb: NotebookNode, folder: Path, timeout: int, on_cell: Callable[[int], None]) -> None:
    """Run every code cell in a fresh kernel; outputs replace those of `nb`.

    Args:
        nb: the notebook, changed in place.
        folder: the working folder of the kernel.
        timeout: seconds a cell may take.
        on_cell: called with each cell's place, counted from 1, before the cell runs.

    Raises:
        NotebookError: a cell raised, took too long, or the kernel died.
    """
    place = 0

    def begin(cell: NotebookNode, cell_index: int) -> None:
        nonlocal place
        place = cell_index + 1
        on_cell(place)

    client = NotebookClient(
        nb,
        kernel_name="python3",
        timeout=timeout,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=begin,
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise NotebookError(f"{failed_cell(nb, place)} raised {error.ename}: {error.evalue}") from None
    except CellTimeoutError:
        raise NotebookError(f"{failed_cell(nb, place)} took more than {timeout} s") from None
    except DeadKernelError:
        raise NotebookError(
            f"{failed_cell(nb, place)}: the kernel died, perhaps for want of memory"
        ) from None


def failed_cell(nb: NotebookNode, place: int) -> str:
    """A cell by its place and the first line of its source."""
    if not place:
        return "before the first cell"
    return f"cell {place} `{nb.cells[place - 1].source.strip().splitlines()[0]}`"


class Progress:
    """Which notebook, which cell, how long: a live line on a terminal, one line per notebook elsewhere."""

    def __init__(
        self, notebooks: int, stream: TextIO, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Prepare to report on `notebooks` notebooks, to `stream`, with the seconds that `clock` tells."""
        self.notebooks, self.stream, self.clock = notebooks, stream, clock
        self.live = stream.isatty()
        self.number = 0

    def begin(self, path: Path, cells: int) -> None:
        """Start on the next notebook."""
        self.number += 1
        self.path, self.cells, self.since = path, cells, self.clock()

    def cell(self, place: int) -> None:
        """Tell which cell runs now."""
        if self.live:
            self._line(f"cell {place} of {self.cells}, {self._seconds()}", end="")

    def end(self, outcome: str) -> None:
        """Close the notebook's line with what came of it."""
        self._line(f"{self.cells} cells, {self._seconds()}: {outcome}", end="\n")

    def _seconds(self) -> str:
        return f"{self.clock() - self.since:.1f} s"

    def _line(self, text: str, end: str) -> None:
        erase = "\r\x1b[K" if self.live else ""
        self.stream.write(f"{erase}[{self.number}/{self.notebooks}] {self.path}: {text}{end}")
        self.stream.flush()
