"""The built site, a server for it, and a browser that looks at every page once.

`SITE_DIR` names a site that is already built; otherwise `_build/html` is used if nothing it is made from is
newer, and otherwise the site is built into a temporary folder. `CHROMIUM` names the browser.
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def documents(toc: Path = ROOT / "_toc.yml") -> list[str]:
    """The book's pages in reading order, as paths without suffix."""
    contents = yaml.safe_load(toc.read_text(encoding="utf-8"))
    return [contents["root"]] + [entry["file"] for part in contents["parts"] for entry in part["chapters"]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", documents())
    if "notebook_page" in metafunc.fixturenames:
        metafunc.parametrize("notebook_page", [d for d in documents() if (ROOT / f"{d}.ipynb").is_file()])


def build_site(source: Path, target: Path) -> Path:
    """Build a book as `make book` does, warnings being errors.

    Args:
        source: the folder with `_config.yml`.
        target: where to put `_build`.

    Returns:
        The folder with the pages.
    """
    script = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", script, "build", str(source), "--all", "-W", "--keep-going"]
    result = subprocess.run(
        [*command, "--path-output", str(target)],
        capture_output=True,
        text=True,
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return target / "_build" / "html"


def newest_source() -> float:
    """When anything the site is made from last changed."""
    paths = [ROOT / "_config.yml", ROOT / "_toc.yml", ROOT / "pyproject.toml"]
    for folder in ("book", "companion", "tools"):
        paths += [path for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts]
    return max(path.stat().st_mtime for path in paths if path.is_file())


@pytest.fixture(scope="session")
def builder():
    """The function that builds a book from a folder."""
    return build_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if "SITE_DIR" in os.environ:
        return Path(os.environ["SITE_DIR"]).resolve()
    ready = ROOT / "_build" / "html"
    done = ready / "searchindex.js"
    if done.is_file() and done.stat().st_mtime > newest_source():
        return ready
    return build_site(ROOT, tmp_path_factory.mktemp("site"))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@pytest.fixture(scope="session")
def server(site: Path):
    """The address of a web server that serves the site."""
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def find_chromium() -> str | None:
    """The browser to drive, if this machine has one."""
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome", "chrome"]
    return next((path for path in map(shutil.which, filter(None, names)) if path), None)


@pytest.fixture(scope="session")
def browser():
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium here: install one or set CHROMIUM to its path")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright's Python package is missing")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@dataclass
class Visit:
    """What happened while a page was open."""

    problems: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    external: list[str] = field(default_factory=list)


def watch(tab) -> Visit:
    """Note everything that goes wrong in a tab from now on."""
    visit = Visit()
    tab.on("console", lambda m: visit.problems.append(m.text) if m.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: visit.problems.append(str(error)))
    tab.on("requestfailed", lambda request: visit.failed.append(request.url))
    tab.on("response", lambda r: visit.failed.append(f"{r.status} {r.url}") if r.status >= 400 else None)

    def check(request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https") and parts.hostname != "127.0.0.1":
            visit.external.append(request.url)

    tab.on("request", check)
    return visit


@pytest.fixture
def open_tab(browser):
    """Open an address in a new tab; returns the tab and a record of its troubles."""
    contexts = []

    def open_(url: str, *, width: int = 1280, scheme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        tab = context.new_page()
        visit = watch(tab)
        tab.goto(url, wait_until="load")
        # Mathematics is set after loading; the promise says when.
        tab.evaluate("() => window.MathJax?.startup?.promise")
        tab.wait_for_load_state("networkidle")
        return tab, visit

    yield open_
    for context in contexts:
        context.close()


RUNNER = """
import sys, nbformat, nbclient
nb = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(nb, timeout=300, kernel_name="python3").execute()
nbformat.write(nb, sys.argv[2])
"""


@dataclass
class Elsewhere:
    """A reader's machine: a fresh environment that has the libraries and not the companion."""

    python: Path
    scratch: Path

    def call(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run that environment's Python, with nothing of ours in its way."""
        kept = ("PATH", "SYSTEMROOT", "TMPDIR", "OMP_NUM_THREADS", "LANG")
        env = {name: os.environ[name] for name in kept if name in os.environ}
        env |= {
            "PATH": str(self.python.parent) + os.pathsep + env.get("PATH", ""),
            "HOME": str(self.scratch),
            "MPLCONFIGDIR": str(self.scratch),
            "IPYTHONDIR": str(self.scratch),
            "PIP_NO_INDEX": "1",
            "HF_HUB_OFFLINE": "1",
            "TQDM_DISABLE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(
            [str(self.python), *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False
        )

    def run_notebook(self, notebook: Path) -> Path:
        """Run a notebook in its own folder; returns the executed copy, which lies elsewhere."""
        executed = self.scratch / f"executed-{notebook.name}"
        result = self.call("-c", RUNNER, str(notebook), str(executed), cwd=notebook.parent)
        assert result.returncode == 0, result.stderr[-3000:]
        return executed


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    """A new virtual environment that sees every installed package but this book's."""
    if os.name == "nt":
        pytest.skip("needs symbolic links, which Windows keeps for administrators")
    ours = ("attention_by_experiment", "__editable__", "companion", "_virtualenv", "distutils-precedence")
    # The name matters: dill takes what lies in "site-packages" for installed, and pickles it by name.
    visible = tmp_path / "visible" / "site-packages"
    visible.mkdir(parents=True)
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.startswith(ours) and entry.suffix != ".pth":
            (visible / entry.name).symlink_to(entry)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    own = next((tmp_path / "env").glob("lib/python*/site-packages"))
    (own / "visible.pth").write_text(f"{visible}\n", encoding="utf-8")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    machine = Elsewhere(python, scratch)
    proof = machine.call("-c", "import torch, companion", cwd=scratch)
    assert "No module named 'companion'" in proof.stderr, (
        "the companion must not be importable there: " + proof.stderr
    )
    return machine
