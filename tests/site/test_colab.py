"""The first cell of a chapter, on a machine that has nothing but the notebook.

The book's address is replaced by an archive of this tree on disk; otherwise the cell is the one readers get.
The environment is new and sees the installed libraries, so that pip finds every requirement met and needs no
network.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from tools.notebook_form import bootstrap_source, fill_bootstrap

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = ROOT / "book" / "2-core" / "04-scaled-dot-product.ipynb"
URL = "https://github.com/owner/name"


@pytest.fixture
def archive(tmp_path):
    """The repository as a host would pack it: everything under one folder named after the branch."""
    path = tmp_path / "main.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for pattern in ("pyproject.toml", "README.md", "LICENSE*", "companion/*.py"):
            for file in sorted(ROOT.glob(pattern)):
                packed.write(file, f"name-main/{file.relative_to(ROOT).as_posix()}")
    return path


def test_bootstrap_installs_the_companion_and_the_chapter_runs(archive, elsewhere, tmp_path):
    nb = nbformat.read(CHAPTER, as_version=4)
    fill_bootstrap(nb, {"url": URL, "branch": "main"})
    cell = next(cell for cell in nb.cells if "bootstrap" in cell.metadata.get("tags", []))
    address = f"{URL}/archive/refs/heads/main.zip"
    assert address in cell.source
    cell.source = cell.source.replace(address, archive.as_uri())
    # pip builds the archive without the network, with the setuptools that is here.
    cell.source = cell.source.replace("%pip install", "%pip install --no-build-isolation")
    nb.cells.append(new_code_cell("import companion\nprint(companion.__file__)"))
    folder = tmp_path / "reader"
    folder.mkdir()
    nbformat.write(nb, folder / "chapter.ipynb")

    executed = nbformat.read(elsewhere.run_notebook(folder / "chapter.ipynb"), as_version=4)

    used = Path(executed.cells[-1].outputs[0].text.strip())
    assert elsewhere.python.parent.parent in used.parents, "the companion must come from the new environment"
    assert [path.name for path in folder.iterdir()] == ["chapter.ipynb"]


def test_without_an_address_the_cell_says_what_to_do():
    source = bootstrap_source({})
    assert "http" not in source
    assert re.search(r"self-contained notebook", source)
