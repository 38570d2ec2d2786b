"""Notebooks are read and written in one form; files are replaced whole or not at all."""

import json
import os
import stat

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import notebook_form
from tools.notebook_form import bootstrap_source, give_ids, normalise, parse, serialise, write


def test_reading_and_writing_change_nothing(template_path):
    text = template_path.read_text(encoding="utf-8")
    nb = parse(text)
    normalise(nb)
    assert serialise(nb) == text


def test_form_is_sorted_and_ends_with_a_newline():
    text = serialise(new_notebook(cells=[new_markdown_cell("é\ntwo")], metadata={"b": 1, "a": 2}))
    assert text.endswith("}\n")
    assert text.index('"a"') < text.index('"b"')
    assert '"é\\n",\n' in text


def test_normalising_drops_what_one_run_leaves():
    code = new_code_cell(
        "1",
        metadata={"execution": {"iopub.execute_input": "2026-01-01"}, "scrolled": True, "tags": ["setup"]},
        outputs=[new_output("error", ename="E", evalue="why", traceback=["/home/ada/x.py", "E: why"])],
    )
    nb = new_notebook(
        cells=[code, new_markdown_cell(" \n")],
        metadata={"book": {"kind": "page"}, "language_info": {"name": "python", "version": "3.11.7"}, "x": 1},
    )
    normalise(nb)
    assert len(nb.cells) == 1
    assert nb.cells[0].metadata == {"tags": ["setup"]}
    assert nb.cells[0].outputs[0].traceback == ["E: why"]
    assert set(nb.metadata) == {"book", "kernelspec", "language_info"}
    assert nb.metadata.language_info.pygments_lexer == "ipython3"
    assert "version" not in nb.metadata.language_info


def test_ids_are_kept_where_unique_and_otherwise_follow_from_the_cell():
    nb = new_notebook(cells=[new_markdown_cell(text) for text in "abbb"])
    for cell in nb.cells[:3]:
        cell.id = "same"
    del nb.cells[3]["id"]
    give_ids(nb)
    ids = [cell.id for cell in nb.cells]
    assert ids[0] == "same"
    assert len(set(ids)) == 4
    content = json.loads(serialise(nb))
    for cell in content["cells"][1:]:
        del cell["id"]
    assert [cell.id for cell in parse(json.dumps(content)).cells] == ids


def test_bootstrap_without_a_repository_says_what_to_do(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"self-contained notebook .* or run `pip install \.`"):
        exec(bootstrap_source({"url": None}), {})


def test_bootstrap_without_a_repository_is_silent_where_the_companion_is():
    exec(bootstrap_source({}), {})


def test_bootstrap_with_a_repository_installs_its_archive():
    source = bootstrap_source({"url": "https://example.org/me/book/", "branch": "stable"})
    assert (
        '    %pip install -q "attention-by-experiment[book] @ '
        'https://example.org/me/book/archive/refs/heads/stable.zip"'
    ) in source.splitlines()
    assert "heads/main.zip" in bootstrap_source({"url": "https://example.org/me/book"})


def test_write_keeps_mode_and_uses_unix_line_ends(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o644)
    write(path, "new\nlines\n")
    assert path.read_bytes() == b"new\nlines\n"
    assert os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == 0o644


def test_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    path = tmp_path / "a.ipynb"
    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr(notebook_form.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]
