"""The pictures in book/assets are the ones the code draws."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imread

from tools import cover


@pytest.mark.parametrize(
    ("name", "draw"), [("cover.svg", cover.cover_svg), ("favicon.svg", cover.favicon_svg)]
)
def test_vector_pictures_are_current(name, draw):
    assert (cover.ASSETS / name).read_text(encoding="utf-8") == draw(), "run: python -m tools.cover"


def test_preview_picture_is_current(tmp_path):
    # matplotlib brings its own font, so pixels repeat; another release of it may smooth an edge differently.
    cover.social_png(tmp_path / "social.png")
    drawn, committed = imread(tmp_path / "social.png"), imread(cover.ASSETS / "social.png")
    assert drawn.shape == committed.shape == (630, 1200, 4)
    assert np.abs(drawn - committed).mean() < 0.005, "run: python -m tools.cover"


def test_each_letter_spreads_one_unit_of_weight():
    for letter, row in zip(cover.TITLE, cover.weights(), strict=True):
        assert sum(row) == pytest.approx(0 if letter == " " else 1)


def test_arcs_join_equal_letters_and_rarer_letters_more_strongly():
    drawn = cover.arcs()
    assert all(cover.TITLE[i] == cover.TITLE[j] for i, j, _ in drawn)
    width = {cover.TITLE[i]: weight for i, _, weight in drawn}
    assert width["i"] > width["n"] > width["e"]
