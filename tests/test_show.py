"""companion.show: what the chapters display, and what it refuses."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from companion import show
from companion.attention import MultiHeadAttention, attention_weights


@pytest.fixture(autouse=True)
def _figures():
    with mpl.rc_context():
        mpl.use("agg")
        show.use_style()
        yield
    plt.close("all")


@pytest.fixture
def displayed(monkeypatch):
    """Everything shown through IPython's display, as (data, metadata)."""
    calls = []
    monkeypatch.setattr(show, "display", lambda data, raw, metadata: calls.append((data, metadata)))
    return calls


# --- source ---


def test_source_is_the_code_itself():
    text = show.source(attention_weights)._repr_markdown_()
    assert text.startswith("```python\ndef attention_weights(")
    assert text.endswith("\n```")
    assert "scores.softmax(-1)" in text


def test_source_of_several_and_of_methods():
    text = show.source(attention_weights, MultiHeadAttention._split_heads).data
    assert "\n\n\ndef _split_heads(self, x" in text  # dedented


def test_source_of_something_built_in():
    with pytest.raises(TypeError):
        show.source(len)


# --- record ---


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.123456, "0.123"),
        (123456.0, "123000.0"),
        (torch.tensor(0.98765), "0.988"),
        (7, "7"),
        (123456, "123456"),
        (np.int64(5), "5"),
        (True, "1"),
    ],
)
def test_record_keeps_significant_digits(displayed, value, expected):
    show.record("w_max", value)
    prefix = "application/papermill.record/"
    assert displayed == [
        ({f"{prefix}text/plain": expected}, {"scrapbook": {"name": "w_max", "mime_prefix": prefix}})
    ]


def test_record_digits(displayed):
    show.record("x", 0.123456, digits=1)
    assert list(displayed[0][0].values()) == ["0.1"]


def test_record_errors():
    with pytest.raises(ValueError, match="name must be an identifier: got 'w max'"):
        show.record("w max", 1.0)
    with pytest.raises(ValueError, match="value must be finite: got x=nan"):
        show.record("x", float("nan"))


# --- check ---


def is_two(answer):
    if answer != 2:  # not an assert statement: pytest would lengthen its message
        raise AssertionError("Count again.")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, "Exercise 4.1: nothing to check yet. Replace the None with your answer.\n"),
        (3, "Exercise 4.1: not yet. Count again.\n"),
        (2, "Exercise 4.1: correct.\n"),
    ],
)
def test_check(answer, expected, capsys):
    show.check("4.1", answer, is_two)
    assert capsys.readouterr().out == expected


def test_check_does_not_hide_the_readers_errors():
    def answer():
        raise KeyError("oops")

    with pytest.raises(KeyError):
        show.check("4.1", answer, lambda f: f())


# --- figures ---


def test_heatmap_draws_the_matrix_with_labels_and_values():
    weights = torch.tensor([[0.25, 0.75], [1.0, 0.0]], requires_grad=True)
    ax = show.heatmap(weights, ["the", "cat"], ["a", "b"], title="Head 1", values=True)
    np.testing.assert_allclose(ax.images[0].get_array(), weights.detach())
    assert [t.get_text() for t in ax.get_yticklabels()] == ["the", "cat"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b"]
    assert [t.get_text() for t in ax.texts] == ["0.25", "0.75", "1.00", "0.00"]
    assert ax.get_title() == "Head 1"


def test_heatmap_values_can_be_read_on_their_colour():
    ax = show.heatmap(np.array([[0.0, 1.0]]), values=True)
    assert [t.get_color() for t in ax.texts] == ["w", "k"]  # viridis runs from dark to light


def test_zero_has_one_colour_on_every_scale():
    plain, limited = show.heatmap(np.array([[0.0, 0.5]])), show.heatmap(np.array([[0.0, 0.5]]), limit=1.0)
    assert plain.images[0].get_clim() == (0.0, 0.5)
    assert limited.images[0].get_clim() == (0.0, 1.0)
    signed = show.heatmap(np.array([[-2.0, 1.0]]), signed=True)
    assert signed.images[0].get_clim() == (-2.0, 2.0)


def test_heatmap_of_bfloat16():
    ax = show.heatmap(torch.ones(2, 3, dtype=torch.bfloat16))
    assert ax.images[0].get_array().shape == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(3),), r"weights must be a matrix \(T, S\): got shape \(3,\)"),
        ((np.ones((2, 3)), ["a"]), "rows must have 2 labels: got 1"),
        ((np.ones((2, 3)), None, ["a", "b"]), "columns must have 3 labels: got 2"),
        ((-np.ones((2, 3)),), "weights must not be negative unless signed=True: got -1"),
    ],
)
def test_heatmap_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        show.heatmap(*arguments)


def test_curves_show_median_and_range_over_seeds():
    runs = np.array([[1.0, 2.0], [3.0, 4.0], [2.0, 9.0]])
    ax = show.curves([1, 2], {"ours": runs, "theirs": [0.0, 1.0]}, xlabel="step", ylabel="loss (nats)")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [2.0, 4.0])
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 1.0
    assert band[:, 1].max() == 9.0
    assert len(ax.collections) == 1  # one seed has no band
    assert ax.get_xlabel() == "step"
    assert ax.get_ylabel() == "loss (nats)"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["ours", "theirs"]


def test_lines_differ_in_more_than_colour():
    ax = show.curves([1, 2], {str(i): [i, i] for i in range(6)}, xlabel="x", ylabel="y")
    assert len({(line.get_marker(), line.get_linestyle()) for line in ax.lines}) == 6


def test_curves_on_logarithmic_axes():
    ax = show.curves([16, 64], {"a": [1.0, 2.0]}, xlabel="x", ylabel="y", log="xy")
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["16", "64"]


def test_curves_errors():
    with pytest.raises(ValueError, match=r"line 'a' must have 2 values a seed: got shape \(1, 3\)"):
        show.curves([1, 2], {"a": [1, 2, 3]}, xlabel="x", ylabel="y")


def test_style_sets_one_size():
    assert tuple(plt.figure().get_size_inches()) == show.FIGURE_SIZE
