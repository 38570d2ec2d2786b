"""Fixtures for the tests of the authoring tools."""

from pathlib import Path

import pytest

from tools.notebook_form import parse
from tools.rules import Book

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def template_path():
    """A complete, executed chapter in miniature: what authors copy, and what the tests take apart."""
    return ROOT / "tools" / "template.ipynb"


@pytest.fixture
def template(template_path):
    return parse(template_path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def book():
    """A book that has no public home yet and knows one paper."""
    return Book({}, frozenset({"arxiv.org/abs/1706.03762"}))
