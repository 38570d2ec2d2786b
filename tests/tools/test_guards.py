"""The promise of the book: what a page shows is what its code does. Each way to break it turns a check red.

A small book, one executed chapter that shows the companion's source, a figure, outputs and a bound number, is
put before the very commands that `make test` uses. It is green; then one thing is changed at a time.
"""

import shutil
import sys

import pytest

from tools import make
from tools.notebook_form import parse, serialise


@pytest.fixture
def book(tmp_path, monkeypatch, template_path):
    """The path of the chapter in a book of its own, selected as BOOK."""
    monkeypatch.setattr(make, "VENV", make.Path(sys.prefix))
    monkeypatch.setenv("BOOK", str(tmp_path / "book"))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (tmp_path / "book").mkdir()
    return make.Path(shutil.copy(template_path, tmp_path / "book" / "chapter.ipynb"))


def edit(path, change):
    """Rewrite a notebook after a change to its cells."""
    nb = parse(path.read_text(encoding="utf-8"))
    change(nb.cells)
    path.write_text(serialise(nb), encoding="utf-8")


def starting(cells, words):
    """The first cell whose source begins with these words."""
    return next(cell for cell in cells if cell.source.startswith(words))


def test_unchanged_book_is_green(book):
    make.static()
    make.compare()


def test_changed_digit_in_an_output_is_red(book, capfd):
    def change(cells):
        output = starting(cells, "for head_dim in").outputs[0]
        assert "weight 0.43" in output.text
        output.text = output.text.replace("weight 0.43", "weight 0.44")

    edit(book, change)
    with pytest.raises(make.StepFailed):
        make.compare()
    out = capfd.readouterr().out
    assert "1 failed" in out
    assert "weight 0.44" in out


def test_edited_companion_is_red_where_its_source_is_shown(book, tmp_path, monkeypatch, capfd):
    """The edit changes no result: it is the source on the page that tells."""
    edited = tmp_path / "edited"
    shutil.copytree(
        make.ROOT / "companion", edited / "companion", ignore=shutil.ignore_patterns("__pycache__")
    )
    file = edited / "companion" / "attention.py"
    source = file.read_text(encoding="utf-8")
    assert "return scores.softmax(-1)\n" in source
    file.write_text(
        source.replace("return scores.softmax(-1)\n", "return scores.softmax(dim=-1)\n"), encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(edited))
    with pytest.raises(make.StepFailed):
        make.compare()
    out = capfd.readouterr().out
    assert "1 failed" in out
    assert "show.source(attention_weights)" in out  # the input of the cell that failed


def stale_number(cells):
    cell = starting(cells, "No measured number")
    assert "**0.34<!--" in cell.source
    cell.source = cell.source.replace("**0.34<!--", "**0.35<!--")


def cleared_outputs(cells):
    for cell in cells:
        if cell.cell_type == "code":
            cell.outputs = []


def cleared_outputs_and_counts(cells):
    """The strict comparison alone would pass such a notebook."""
    for cell in cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def cleared_figure(cells):
    """The strict comparison does not look at pictures."""
    output = starting(cells, "def largest").outputs[-1]
    del output.data["image/png"]


def missing_alt_text(cells):
    del starting(cells, "def largest").metadata.mystnb["image"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (stale_number, "numbers"),
        (cleared_outputs, "outputs-present"),
        (cleared_outputs_and_counts, "counts"),
        (cleared_figure, "outputs-present"),
        (missing_alt_text, "alt-text"),
    ],
)
def test_defect_that_needs_no_execution_is_red(book, change, rule, capfd):
    edit(book, change)
    with pytest.raises(make.StepFailed):
        make.static()
    assert f"[{rule}]" in capfd.readouterr().out
