r"""The book's commands, for Linux, macOS and Windows. `make book` is short for `python3 tools/make.py book`.

    python3 tools/make.py help                          what there is
    python3 tools/make.py book                          build the site
    python3 tools/make.py notebooks BOOK=book/2-core    run one step, on a part of the book
    py tools\make.py book                               on Windows

It needs Python and nothing else: whatever the steps use is installed into .venv first.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterable, Iterator  # noqa: UP035 - an old Python must get as far as the version check

MINIMUM = (3, 11)
ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / ".installed"
SITE = ROOT / "_build" / "html" / "index.html"
REQUIREMENTS = ("requirements.txt", "constraints.txt", "pyproject.toml")
DEFAULT_BOOK = ("book", "tools/template.ipynb")
VARIABLES = {
    "BOOK": "the notebooks to work on: a folder or a file (default: the whole book)",
    "VERBOSE": "1 shows the output of the quiet steps too",
    "OMP_NUM_THREADS": "threads per notebook (default: 1)",
    "ATEN_CPU_CAPABILITY": "the instruction set PyTorch is held to: default, avx2, avx512",
}
CELL_TIMEOUT = 300  # seconds; a chapter takes less than 60, a loaded machine may take its time
MOST_WORKERS = 8


class StepFailed(Exception):  # noqa: N818 - it is an outcome, not a defect of this program
    """A step did not succeed; the message says why."""


@dataclass(frozen=True, eq=False)  # a step is itself: two with the same words may differ in their variables
class Step:
    """One thing to do.

    Attributes:
        name: the target that repeats the step alone.
        title: what it is about to do, for the line that announces it.
        action: does it, or raises StepFailed.
        variables: set while it runs, as `NAME=value` on the command line would.
    """

    name: str
    title: Callable[[], str]
    action: Callable[[], None]
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """A word on the command line: what it is for, and its steps in order."""

    purpose: str
    steps: tuple[Step, ...] = ()


def find_notebooks(where: Iterable[Path]) -> list[Path]:
    """The notebooks in folders and their subfolders, checkpoints and build products left out.

    Args:
        where: folders, or notebooks themselves; relative ones start at the working folder.

    Raises:
        FileNotFoundError: one of them does not exist or holds no notebook.
    """
    found = []
    for place in where:
        inside = [place] if place.is_file() else sorted(place.rglob("*.ipynb"))
        kept = [path for path in inside if not any(map(is_hidden, path.relative_to(place).parts))]
        if not kept:
            raise FileNotFoundError(f"no notebook found: {place}")
        found += kept
    return found


def is_hidden(part: str) -> bool:
    """Whether a folder or file of this name is no part of the book's sources."""
    return part.startswith(".") or part == "_build"


def notebooks() -> list[Path]:
    """The notebooks that BOOK names, or all of them."""
    try:
        return find_notebooks(ROOT / part for part in selected_book())
    except FileNotFoundError as error:
        raise StepFailed(str(error)) from None


def selected_book() -> tuple[str, ...]:
    """The folders and files that BOOK names, or the whole book."""
    book = os.environ.get("BOOK")
    return (book,) if book else DEFAULT_BOOK


def counted_notebooks() -> str:
    """How many notebooks there are to work on, in words."""
    count = len(notebooks())
    return f"{count} notebook{'s' if count != 1 else ''}"


def cores() -> int:
    """The processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_python(version: tuple[int, ...] = sys.version_info) -> None:
    """Refuse a Python that is too old, and name a newer one if the machine has it."""
    if tuple(version[:2]) >= MINIMUM:
        return
    needed = ".".join(map(str, MINIMUM))
    newer = next(
        (name for name in ("python3.13", "python3.12", "python3.11") if shutil.which(name)), "python3.12"
    )
    raise SystemExit(
        f"Python {needed} or newer is needed: {sys.executable} is {'.'.join(map(str, version[:3]))}.\n"
        f"Choose another with `make PYTHON={newer} book` or `{newer} tools/make.py book`."
    )


def venv_program(name: str) -> Path:
    """A program in the book's own environment."""
    return VENV / "Scripts" / f"{name}.exe" if os.name == "nt" else VENV / "bin" / name


def run(*command: object, quiet: bool = False) -> None:
    """Run a command in the book's folder.

    Args:
        command: the program and its arguments.
        quiet: show what it prints only if it fails, or if VERBOSE is set.

    Raises:
        StepFailed: it ended with an error, or there is no such program.
    """
    words = [str(word) for word in command]
    capture = quiet and not os.environ.get("VERBOSE")
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if capture else {}
    try:
        done = subprocess.run(words, cwd=ROOT, check=False, encoding="utf-8", errors="replace", **streams)
    except FileNotFoundError:
        raise StepFailed(f"there is no {words[0]}") from None
    if done.returncode:
        if capture:
            print(done.stdout, flush=True)
        raise StepFailed(f"exit code {done.returncode} from\n      {shlex.join(words)}")


def python(*arguments: object, quiet: bool = False) -> None:
    """Run the environment's Python."""
    run(venv_program("python"), *arguments, quiet=quiet)


def pytest(*arguments: object) -> None:
    """Run pytest in the environment, with the repository's configuration wherever the tested files lie."""
    python("-m", "pytest", "--rootdir", ROOT, "-c", ROOT / "pyproject.toml", *arguments)


def fingerprint() -> str:
    """A hash of all that decides what is installed."""
    digest = hashlib.sha256()
    for name in REQUIREMENTS:
        path = ROOT / name
        digest.update(f"{name}\0".encode() + (path.read_bytes() if path.exists() else b"") + b"\0")
    return digest.hexdigest()


def is_installed() -> bool:
    """Whether the last installation was finished, and from these very files."""
    return STAMP.exists() and STAMP.read_text(encoding="utf-8") == fingerprint()


def make_environment() -> None:
    """Create .venv, unless a working one is there."""
    if venv_program("python").exists():
        return
    try:
        run(sys.executable, "-m", "venv", "--clear", VENV, quiet=True)
    except StepFailed as error:
        raise StepFailed(
            f"{error}\n      On Debian and Ubuntu, venv is a package: apt install python3-venv"
        ) from None


def install() -> None:
    """Install the requirements and the companion, if they have changed since the last time."""
    if is_installed():
        return
    STAMP.unlink(missing_ok=True)
    pip = ("-m", "pip", "--disable-pip-version-check", "install")
    python(*pip, "-r", "requirements.txt")
    python(*pip, "--no-deps", "--no-build-isolation", "-e", ".", quiet=True)
    STAMP.write_text(fingerprint(), encoding="utf-8")  # last: an interrupted installation is begun again


def lint() -> None:
    """Check the style of code and notebooks."""
    python("-m", "ruff", "check", ".", quiet=True)
    python("-m", "ruff", "format", "--check", ".", quiet=True)


def unit() -> None:
    """Run the unit tests and the examples in docstrings."""
    workers = min(MOST_WORKERS, cores())
    pytest("tests", "companion", "tools", "--ignore", "tests/site", "--doctest-modules", "-n", workers)


def static() -> None:
    """Check the notebooks without running them."""
    python("-m", "tools.notebooks", "--static", *notebooks())


def compare() -> None:
    """Run the notebooks and compare every output with the stored one."""
    paths = notebooks()
    # Never more threads than cores: OpenMP's threads wait by spinning, and small training loops would crawl.
    threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
    workers = min(MOST_WORKERS, max(1, cores() // threads), len(paths))
    # A notebook is one scope: its cells share a kernel and must stay together.
    parallel = ("-n", workers, "--dist", "loadscope") if workers > 1 else ()
    options = ("--nbval-current-env", "--nbval-cell-timeout", CELL_TIMEOUT)
    sanitizer = ("--nbval-sanitize-with", ROOT / "tests" / "nbval_sanitize.cfg")
    pytest("-p", "tools.notebook_env", "--nbval", *options, *sanitizer, *parallel, *paths)


def refresh() -> None:
    """Run the notebooks and rewrite them."""
    python("-m", "tools.notebooks", *notebooks())


def build_site() -> None:
    """Build the site from nothing: an incremental build hides warnings."""
    shutil.rmtree(SITE.parents[1], ignore_errors=True)
    run(venv_program("jupyter-book"), "build", ".", "--all", "-W", "--keep-going", quiet=True)


def test_site() -> None:
    """Test the built site."""
    if not SITE.exists():
        raise StepFailed("there is no site yet: build it with `make site`")
    pytest("tests/site")


def benchmark() -> None:
    """Measure the companion."""
    python("-m", "tools.bench")


def open_lab() -> None:
    """Open the book in JupyterLab, the repository as its root: links to the companion's files work."""
    python("-m", "jupyterlab", f"--ServerApp.root_dir={ROOT}", "--LabApp.default_url=/lab/tree/book")


def clean() -> None:
    """Delete what the other targets made, except .venv."""
    for name in ("_build", ".pytest_cache", ".ruff_cache", ".hypothesis", "build"):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for part in ("companion", "tools", "tests", "book", "."):
        found = (ROOT / part).rglob("__pycache__") if part != "." else ROOT.glob("__pycache__")
        for cache in list(found):
            shutil.rmtree(cache, ignore_errors=True)


ENVIRONMENT = Step("environment", lambda: f"environment: {VENV.relative_to(ROOT)}", make_environment)
INSTALL = Step(
    "install",
    lambda: (
        "packages: as they should be"
        if is_installed()
        else "packages: installing, for minutes the first time"
    ),
    install,
)
LINT = Step("lint", lambda: "style: ruff check, ruff format --check", lint)
UNIT = Step("unit", lambda: "unit tests and docstring examples", unit)
STATIC = Step("static", lambda: f"static rules for {counted_notebooks()}", static)
COMPARE = Step("notebooks", lambda: f"strict comparison of {counted_notebooks()}", compare)
REFRESH = Step("refresh", lambda: f"running and rewriting {counted_notebooks()}", refresh)
BUILD_SITE = Step("site", lambda: "site: jupyter-book, warnings are errors", build_site)
TEST_SITE = Step("site-tests", lambda: "site tests", test_site)
BENCH = Step("bench", lambda: "benchmark", benchmark)
LAB = Step("lab", lambda: "JupyterLab (Ctrl-C ends it)", open_lab)
CLEAN = Step("clean", lambda: "deleting build products and caches", clean)


def under(**variables: str) -> Step:
    """The strict comparison as another machine would run it."""
    setting = " ".join(f"{name}={value}" for name, value in variables.items())
    return Step(
        "notebooks", lambda: f"strict comparison of {counted_notebooks()} under {setting}", compare, variables
    )


def portability_steps(machine: str = platform.machine()) -> tuple[Step, ...]:
    """The comparison under other instruction sets, where the processor has several, and thread counts."""
    is_x86 = machine.lower() in ("x86_64", "amd64")
    levels = ("default", "avx2") if is_x86 else ("default",)
    return (*(under(ATEN_CPU_CAPABILITY=level) for level in levels), under(OMP_NUM_THREADS="2"))


READY = (ENVIRONMENT, INSTALL)
TARGETS = {
    "help": Target("list the targets"),
    "book": Target("build the site into _build/html", (*READY, BUILD_SITE)),
    "test": Target("check everything", (*READY, LINT, UNIT, STATIC, COMPARE, BUILD_SITE, TEST_SITE)),
    "lab": Target("open the book in JupyterLab", (*READY, LAB)),
    "refresh": Target("run the notebooks and rewrite outputs and bound numbers", (*READY, REFRESH)),
    "lint": Target("check the style of code and notebooks", (*READY, LINT)),
    "unit": Target("run the unit tests and docstring examples", (*READY, UNIT)),
    "static": Target("check the notebooks without running them", (*READY, STATIC)),
    "notebooks": Target("run the notebooks and compare every output", (*READY, COMPARE)),
    "portability": Target(
        "the same as on other processors and thread counts", (*READY, *portability_steps())
    ),
    "site": Target("build the site, as `book` does", (*READY, BUILD_SITE)),
    "site-tests": Target("test the built site", (*READY, TEST_SITE)),
    "bench": Target("measure the companion", (*READY, BENCH)),
    "environment": Target("create .venv", (ENVIRONMENT,)),
    "install": Target("create .venv and install what the book needs", READY),
    "clean": Target("delete build products and caches; .venv stays", (CLEAN,)),
}


def how_to_run(target: str, variables: dict[str, str] | None = None) -> str:
    """The command that runs a target here, with the variables that are set now."""
    settings = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)} | (variables or {})
    words = [target, *(f"{name}={value}" for name, value in settings.items())]
    front = "py tools\\make.py" if os.name == "nt" else "make"
    return f"{front} {shlex.join(words)}"


def help_text() -> str:
    """All targets and variables."""
    width = max(map(len, {**TARGETS, **VARIABLES}))
    lines = [f"Usage: {how_to_run('TARGET')} [NAME=value …]", "", "Targets:"]
    lines += [f"  {name:{width}}  {target.purpose}" for name, target in TARGETS.items()]
    lines += ["", "Variables:"]
    return "\n".join(lines + [f"  {name:{width}}  {meaning}" for name, meaning in VARIABLES.items()])


@contextmanager
def environment_variables(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def perform(steps: list[Step]) -> int:
    """Take the steps in order and stop at the first that fails.

    Returns:
        0 if all succeeded, otherwise 1.
    """
    times = []
    for number, step in enumerate(steps, 1):
        start = time.perf_counter()
        try:
            with environment_variables(step.variables):
                print(f"[{number}/{len(steps)}] {step.title()} …", flush=True)
                step.action()
        except StepFailed as failure:
            seconds = time.perf_counter() - start
            print(f"[{number}/{len(steps)}] {step.name} FAILED after {seconds:.1f} s: {failure}")
            print(f"      Repeat it alone: {how_to_run(step.name, step.variables)}", flush=True)
            return 1
        times.append((step, time.perf_counter() - start))
    print("\nDone:")
    for step, seconds in times:
        setting = "".join(f" {name}={value}" for name, value in step.variables.items())
        print(f"  {seconds:7.1f} s  {step.name}{setting}")
    print(f"  {sum(seconds for _, seconds in times):7.1f} s  in all", flush=True)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the targets on the command line; 0 if all went well."""
    check_python()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a Windows console may not have every character
    words = sys.argv[1:] if argv is None else argv
    names = []
    for word in words or ["help"]:
        name, is_setting, value = word.partition("=")
        if is_setting and name in VARIABLES:
            os.environ[name] = value
        elif not is_setting and name in TARGETS:
            names.append(name)
        else:
            kind = "variable" if is_setting else "target"
            print(f"There is no {kind} {name!r}.\n\n{help_text()}", file=sys.stderr)
            return 2
    if "help" in names or not names:
        print(help_text())
        return 0
    steps = list(dict.fromkeys(step for name in names for step in TARGETS[name].steps))
    status = perform(steps)
    if not status and "book" in names:
        print(f"\nThe site: {SITE.relative_to(ROOT)}")
        print(f"Open it:  {Path(sys.executable).name} -m webbrowser {SITE.as_uri()}")
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nInterrupted.")
