"""The package as a whole: who imports whom, what can be copied alone, house rules that can be checked."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import companion

FOLDER = Path(companion.__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")

# The design: what each module may import, besides the standard library.
EDGES = {
    "attention": {"torch"},
    "positions": {"torch"},
    "blocks": {"torch", ".attention"},
    "bert": {"torch", ".blocks", ".positions"},
    "devices": {"torch"},
    # Torch as well as tokenizers: it returns the tensors that a model takes.
    "tokenization": {"torch", "tokenizers"},
    "pretrained": {"torch", "safetensors", "huggingface_hub", ".bert", ".tokenization"},
    "show": {"matplotlib", "numpy", "IPython"},
}


def tree(module):
    return ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))


def imports(module):
    """Top-level packages, and our own modules with a leading dot."""
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(f".{node.module}" if node.level else node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names)


def closure(module):
    """The module and all of ours that it needs."""
    own = {name[1:] for name in imports(module) if name.startswith(".")}
    return {module}.union(*(closure(name) for name in own))


def test_every_module_has_its_edges_written_down():
    assert sorted(EDGES) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_along_the_edges(module):
    assert imports(module) <= EDGES[module]


@pytest.mark.parametrize("module", MODULES)
def test_first_lines_name_what_to_copy_and_that_set_imports_alone(module, tmp_path):
    header = ast.get_docstring(tree(module)).partition("\n\nShapes")[0]
    named = set(re.findall(r"`(\w+)\.py`", header))
    assert closure(module) == {module} | named
    assert ("Copy this file alone" in header) == (not named)
    copy = tmp_path / "mycode"
    copy.mkdir()
    for name in {module} | named:
        (copy / f"{name}.py").write_bytes((FOLDER / f"{name}.py").read_bytes())
    code = f"import sys; import mycode.{module}; assert 'companion' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True, timeout=120)


@pytest.mark.parametrize("module", MODULES)
def test_small_and_free_of_asserts(module):
    source = (FOLDER / f"{module}.py").read_text(encoding="utf-8")
    assert sum(bool(line.strip()) for line in source.splitlines()) <= 300
    assert not [n for n in ast.walk(tree(module)) if isinstance(n, ast.Assert)]


def public(module):
    """Public functions and methods with their docstrings."""
    for node in tree(module).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    yield method


@pytest.mark.parametrize("module", MODULES)
def test_public_docstrings_name_every_argument(module):
    for node in public(module):
        text = ast.get_docstring(node)
        assert text, node.name
        if isinstance(node, ast.FunctionDef):
            arguments = [a.arg for a in (*node.args.args, *node.args.kwonlyargs) if a.arg != "self"]
            missing = [a for a in arguments if not re.search(rf"\b{a}\b|`{a}`", text)]
            one_line = len(text.splitlines()) == 1
            assert not missing or (one_line and len(arguments) <= 2), (module, node.name, missing)


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_stashed_on_self_outside_init(module):
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef) and node.name not in ("__init__", "__post_init__"):
            stored = [
                t
                for n in ast.walk(node)
                if isinstance(n, ast.Assign)
                for t in n.targets
                if isinstance(t, ast.Attribute) and getattr(t.value, "id", "") == "self"
            ]
            assert not stored, (module, node.name)


def test_version_is_the_distributions():
    from importlib.metadata import version

    assert companion.__version__ == version("attention-by-experiment")
