"""Recorded numbers reach the prose that quotes them; what cannot be written is said."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.notebook_numbers import RECORD, settle


def record(name, text):
    metadata = {"scrapbook": {"name": name, "mime_prefix": "application/papermill.record/"}}
    return new_code_cell("…", outputs=[new_output("display_data", data={RECORD: text}, metadata=metadata)])


def notebook(prose, *records):
    return new_notebook(cells=[*(record(*pair) for pair in records), new_markdown_cell(prose)])


@pytest.mark.parametrize(
    ("prose", "value", "written"),
    [
        ("**?<!--=x:.3f-->**", "0.5761", "**0.576<!--=x:.3f-->**"),
        ("(0.9<!--=x-->)", "-2", "(-2<!--=x-->)"),
        ("| 1<!--=x:,--> |", "12345", "| 12,345<!--=x:,--> |"),
        ("is 0<!--=x:.1%--> of it", "0.1234", "is 12.3%<!--=x:.1%--> of it"),
        ("$K$=1<!--=x:.0e-->", "3e-5", "$K$=3e-05<!--=x:.0e-->"),
        ("≈ 1<!--=x:>+4.1f-->", "100.0", "≈ +100.0<!--=x:>+4.1f-->"),
    ],
)
def test_value_is_written_in_its_format(prose, value, written):
    nb = notebook(prose, ("x", value))
    assert settle(nb).errors == []
    assert nb.cells[-1].source == written
    assert settle(nb).stale == []


def test_two_numbers_on_a_line():
    nb = notebook("from 0<!--=a--> to 0<!--=b-->", ("a", "1"), ("b", "2"))
    settled = settle(nb)
    assert nb.cells[-1].source == "from 1<!--=a--> to 2<!--=b-->"
    assert settled.stale == [
        (3, "shows 0<!--=a--> where 1 was recorded"),
        (3, "shows 0<!--=b--> where 2 was recorded"),
    ]


def test_caption_quotes_numbers_too():
    nb = notebook("", ("x", "7"))
    nb.cells[0].metadata.mystnb = {"figure": {"caption": "Up to 0<!--=x-->."}}
    settle(nb)
    assert nb.cells[0].metadata.mystnb.figure.caption == "Up to 7<!--=x-->."


@pytest.mark.parametrize(
    ("prose", "message"),
    [
        ("0<!--=y:.1f-->", r"number marker <!--=y:\.1f-->: no cell records 'y'; recorded are: x"),
        ("0<!--=x:.1q-->", r"<!--=x:\.1q-->: 0\.5 cannot be formatted with '\.1q'"),
        ("0<!--=x:d-->", "0.5 cannot be formatted with 'd'"),
        ("**<!--=x-->**", "no number stands directly before it; write a ?"),
        ("0.5 <!--=x-->", "no number stands directly before it"),
        ("0<!--=x", "lacks its closing -->"),
        ("0<!--=x:>5-->", "'  0.5' is not a single word"),
        ("0<!--= x-->", "no cell records ' x'"),
    ],
)
def test_marker_that_means_nothing(prose, message):
    nb = notebook(prose, ("x", "0.5"))
    ((place, error),) = settle(nb).errors
    assert place == 2
    assert nb.cells[-1].source == prose
    with pytest.raises(ValueError, match=message):
        raise ValueError(error)


def test_name_recorded_twice():
    assert settle(notebook("", ("x", "1"), ("x", "2"))).errors == [
        (2, "records 'x' a second time: give it a name of its own")
    ]


def test_record_that_is_no_literal():
    ((place, message),) = settle(notebook("", ("x", "tensor(1.)"))).errors
    assert (place, message) == (1, "records 'x' as tensor(1.), which is neither a number nor a string")
