"""CONTRIBUTING.md, requirements.txt, constraints.txt and pyproject.toml tell the same story."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def pins(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    found = dict(line.split("==") for line in lines if line.strip() and line[0] not in "#-")
    return {key.lower().replace("_", "-"): value for key, value in found.items()}


def test_every_dependency_is_explained_once():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Dependencies")[2]
    explained = re.findall(r"^\| ([\w-]+) \| \w", text, re.MULTILINE)
    explained = [name.lower().replace("_", "-") for name in explained if name != "Package"]
    assert sorted(explained) == sorted(pins("requirements.txt"))


def test_nothing_is_pinned_twice():
    assert not pins("requirements.txt").keys() & pins("constraints.txt").keys()


@pytest.mark.parametrize(("name", "pin"), pins("requirements.txt").items())
def test_what_is_installed_is_what_is_pinned(name, pin):
    assert version(name).partition("+")[0] == pin  # torch's CPU build calls itself 2.13.0+cpu


def test_the_companion_asks_for_nothing_that_is_not_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    names = {re.split(r"[=><\[ ]", item)[0].lower().replace("_", "-") for item in asked}
    assert names <= pins("requirements.txt").keys() | pins("constraints.txt").keys()
