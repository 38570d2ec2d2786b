"""Reading and writing notebooks in one normal form, in which a run that changes nothing leaves no diff."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbformat import NotebookNode

NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}
KEPT_CELL_METADATA = ("cellView", "editable", "jupyter", "mystnb", "tags")

BOOTSTRAP_WITHOUT_URL = """\
# Needs the book's companion code; where it is installed, this does nothing.
import importlib.util

if importlib.util.find_spec("companion") is None:
    raise ModuleNotFoundError(
        "The companion code is missing: take the self-contained notebook "
        "from this page's download menu, or run `pip install .` in the "
        "book's repository."
    )"""
BOOTSTRAP_WITH_URL = """\
# On Colab this installs the companion code; elsewhere it does nothing.
import importlib.util

if importlib.util.find_spec("companion") is None:
    %pip install -q "attention-by-experiment[book] @ {url}/archive/refs/heads/{branch}.zip\""""


class NotebookError(Exception):
    """A notebook cannot be read or run; the message says which, where and why."""


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def code_cells(nb: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """The code cells with their places among all cells, counted from 1."""
    return [(place, cell) for place, cell in enumerate(nb.cells, 1) if cell.cell_type == "code"]


def parse(text: str) -> NotebookNode:
    """Read a notebook from its JSON.

    nbformat's own reader gives cells without an id a random one; here the id follows from the cell.

    Raises:
        NotebookError: the text is no valid notebook of format 4.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise NotebookError(f"not a notebook: {error}") from None
    if not isinstance(content, dict) or content.get("nbformat") != 4:
        raise NotebookError("not a notebook of format 4")
    try:
        nb = nbformat.v4.to_notebook(content)
        give_ids(nb)
        nbformat.validate(nb)
    except nbformat.ValidationError as error:
        raise NotebookError(f"not a valid notebook: {error.message}") from None
    except AttributeError as error:  # nbformat's answer to a cell without source or metadata
        raise NotebookError(f"not a valid notebook: no {error}") from None
    return nb


def give_ids(nb: NotebookNode) -> None:
    """Give every cell that lacks an id of its own one that is made from its source."""
    nb.nbformat_minor = 5
    taken: set[str] = set()
    for cell in nb.get("cells", []):
        if not cell.get("id") or cell.id in taken:
            stem = hashlib.sha256(cell.get("source", "").encode()).hexdigest()[:8]
            candidates = (f"{stem}-{n}" if n else stem for n in range(len(nb.cells) + 1))
            cell.id = next(name for name in candidates if name not in taken)
        taken.add(cell.id)


def number_cells(nb: NotebookNode) -> None:
    """Count the code cells 1..n, as a fresh kernel does."""
    for count, (_, cell) in enumerate(code_cells(nb), 1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count


def normalise(nb: NotebookNode) -> None:
    """Drop what differs from run to run or from machine to machine, and empty cells."""
    book = {"book": nb.metadata.book} if "book" in nb.metadata else {}
    nb.metadata = nbformat.from_dict({**NOTEBOOK_METADATA, **book})
    nb.cells = [cell for cell in nb.cells if cell.source.strip()]
    for cell in nb.cells:
        kept = {key: cell.metadata[key] for key in KEPT_CELL_METADATA if cell.metadata.get(key)}
        cell.metadata = nbformat.from_dict(kept)
        for output in cell.get("outputs", []):
            if output.output_type == "error":  # the rest of a traceback holds the paths of one machine
                output.traceback = [f"{output.ename}: {output.evalue}"]


def serialise(nb: NotebookNode) -> str:
    """The JSON of a notebook: sorted keys, one line per line of source, a newline at the end."""
    return nbformat.v4.writes(nb) + "\n"


def bootstrap_source(repository: Mapping[str, str]) -> str:
    """The source of the cell that makes sure of the companion.

    Args:
        repository: the `repository` section of _config.yml; its `url` may be missing.
    """
    url = (repository.get("url") or "").rstrip("/")
    if not url:
        return BOOTSTRAP_WITHOUT_URL
    return BOOTSTRAP_WITH_URL.format(url=url, branch=repository.get("branch") or "main")


def fill_bootstrap(nb: NotebookNode, repository: Mapping[str, str]) -> None:
    """Write the bootstrap cell from the one place that knows the repository."""
    for _, cell in code_cells(nb):
        if "bootstrap" in tags(cell):
            cell.source = bootstrap_source(repository)


def read(path: Path) -> str:
    """The text of a notebook, whatever line endings the checkout gave it."""
    return path.read_text(encoding="utf-8")


def write(path: Path, text: str) -> None:
    """Write a file in one step: whoever reads it finds the old text or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        if path.exists():
            shutil.copymode(path, name)  # temporary files are private; notebooks are not
        else:
            os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
