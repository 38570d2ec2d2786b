"""The command that executes, rewrites and checks notebooks."""

import io
import os
import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import notebook_env, notebooks
from tools.notebook_form import parse, serialise
from tools.notebook_run import Progress

RECORDING = """\
from IPython.display import display

print("once")
display(
    {"application/papermill.record/text/plain": repr(len("four"))},
    raw=True,
    metadata={"scrapbook": {"name": "length", "mime_prefix": "application/papermill.record/"}},
)"""


@pytest.fixture(autouse=True)
def restored_environment(monkeypatch, tmp_path_factory):
    """Undo what preparing for kernels does to this process, which has other tests to run."""
    before = dict(os.environ)
    folder = tmp_path_factory.mktemp("ipython")
    monkeypatch.setattr(notebook_env, "apply", lambda: notebook_env.prepare(os.environ, folder))
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def page(tmp_path):
    """A function that writes a small page, never executed, and returns its path."""

    def build(*sources, prose="There are **?<!--=length-->** letters."):
        cells = [new_code_cell("# to be written", metadata={"tags": ["bootstrap", "remove-cell"]})]
        for source in sources:
            cells += [new_markdown_cell("Look:"), new_code_cell(source)]
        nb = new_notebook(cells=[*cells, new_markdown_cell(prose)], metadata={"book": {"kind": "page"}})
        path = tmp_path / "page.ipynb"
        path.write_text(serialise(nb), encoding="utf-8")
        return path

    return build


def test_refresh_executes_writes_numbers_and_then_finds_nothing_to_do(page, capsys):
    path = page(RECORDING)
    assert notebooks.main([str(path)]) == 0
    first = path.read_bytes()
    nb = parse(first.decode())
    assert [cell.execution_count for cell in nb.cells if cell.cell_type == "code"] == [1, 2]
    assert nb.cells[2].outputs[0].text == "once\n"
    assert nb.cells[3].source == "There are **4<!--=length-->** letters."
    assert 'find_spec("companion")' in nb.cells[0].source
    assert ": 4 cells, " in capsys.readouterr().out

    assert notebooks.main(["--static", str(path)]) == 0
    assert notebooks.main([str(path)]) == 0
    assert path.read_bytes() == first
    assert "unchanged" in capsys.readouterr().out


def test_check_reports_a_difference_and_writes_nothing(page, capsys):
    path = page(RECORDING)
    assert notebooks.main([str(path)]) == 0
    text = path.read_text(encoding="utf-8").replace('"once\\n"', '"twice\\n"')
    path.write_text(text, encoding="utf-8")
    capsys.readouterr()

    assert notebooks.main(["--check", str(path)]) == 1
    assert path.read_text(encoding="utf-8") == text
    assert re.search(
        r"differs from a fresh run:\n +- +\"twice\\n\"\n +\+ +\"once\\n\"\n", capsys.readouterr().out
    )


def test_failing_cell_is_located_and_leaves_the_file_untouched(page, capsys):
    path = page("x = 1", "# halve it\nx / 0")
    before = path.read_bytes()
    assert notebooks.main([str(path)]) == 1
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    out = capsys.readouterr().out
    assert "failed, file untouched" in out
    assert f"{path}: cell 5 `# halve it` raised ZeroDivisionError: division by zero" in out


def test_slow_cell_is_stopped(page, capsys):
    path = page("import time\n\ntime.sleep(60)")
    assert notebooks.main(["--timeout", "1", str(path)]) == 1
    assert "cell 3 `import time` took more than 1 s" in capsys.readouterr().out


def test_missing_record_is_located_and_leaves_the_file_untouched(page, capsys):
    path = page("x = 1")
    before = path.read_bytes()
    assert notebooks.main([str(path)]) == 1
    assert path.read_bytes() == before
    assert f"{path}: cell 4: [numbers] number marker <!--=length-->: no cell records 'length'" in (
        capsys.readouterr().out
    )


def test_static_check_names_file_cell_and_rule(page, capsys):
    path = page("print(1)", prose="A powerful idea.")
    assert notebooks.main(["--static", str(path)]) == 1
    out = capsys.readouterr().out
    assert f"{path}: cell 4: [filler] filler: 'powerful'" in out
    assert "1 notebook, 1 with problems" in out


def test_file_that_is_no_notebook(tmp_path, capsys):
    path = tmp_path / "a.ipynb"
    path.write_text("{", encoding="utf-8")
    assert notebooks.main(["--static", str(path)]) == 1
    assert f"{path}: [format] not a notebook" in capsys.readouterr().out


def test_folder_without_notebooks(tmp_path, capsys):
    assert notebooks.main(["--static", str(tmp_path)]) == 1
    assert f"no notebook found: {tmp_path}" in capsys.readouterr().err


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self):
        return True


def report(stream):
    seconds = iter([10.0, 11.5, 14.0])
    progress = Progress(3, stream, clock=lambda: next(seconds))
    progress.begin("a.ipynb", cells=7)
    if progress.live:
        progress.cell(4)
    else:
        next(seconds)
        progress.cell(4)
    progress.end("written")
    return stream.getvalue()


def test_progress_on_a_terminal_rewrites_its_line():
    assert report(Terminal()) == (
        "\r\x1b[K[1/3] a.ipynb: cell 4 of 7, 1.5 s\r\x1b[K[1/3] a.ipynb: 7 cells, 4.0 s: written\n"
    )


def test_progress_elsewhere_is_one_line_a_notebook():
    assert report(io.StringIO()) == "[1/3] a.ipynb: 7 cells, 4.0 s: written\n"
