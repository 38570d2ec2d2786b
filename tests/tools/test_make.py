"""The command driver: what it installs when, what it says, and how it fails."""

import re
import sys
from pathlib import Path

import pytest

from tools import make


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project for the driver, in which commands are noted and not run."""
    commands = []
    monkeypatch.setattr(make, "ROOT", tmp_path)
    monkeypatch.setattr(make, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(make, "STAMP", tmp_path / ".venv" / ".installed")
    monkeypatch.setattr(make, "SITE", tmp_path / "_build" / "html" / "index.html")
    monkeypatch.setattr(make, "run", lambda *command, quiet=False: commands.append(command))
    for name in make.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".venv").mkdir()
    (tmp_path / "requirements.txt").write_text("torch\n", encoding="utf-8")
    return commands


def notebook(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}", encoding="utf-8")
    return path


def test_installs_once_until_a_requirement_changes(project):
    make.install()
    assert len(project) == 2
    make.install()
    assert len(project) == 2
    for name in make.REQUIREMENTS:
        project.clear()
        (make.ROOT / name).write_text("another", encoding="utf-8")
        make.install()
        assert len(project) == 2, name


def test_broken_installation_is_begun_again(project, monkeypatch):
    make.install()
    (make.ROOT / "requirements.txt").write_text("no-such-package", encoding="utf-8")

    def fail(*command, quiet=False):
        raise make.StepFailed("no such package")

    monkeypatch.setattr(make, "run", fail)
    with pytest.raises(make.StepFailed):
        make.install()
    (make.ROOT / "requirements.txt").write_text("torch\n", encoding="utf-8")
    assert not make.is_installed()


def test_content_that_moves_to_another_file_changes_the_fingerprint(project):
    before = make.fingerprint()
    (make.ROOT / "requirements.txt").rename(make.ROOT / "constraints.txt")
    assert make.fingerprint() != before


def test_environment_is_made_once_and_with_this_python(project):
    make.make_environment()
    assert project == [(sys.executable, "-m", "venv", "--clear", make.VENV)]
    make.venv_program("python").parent.mkdir()
    make.venv_program("python").touch()
    make.make_environment()
    assert len(project) == 1


def test_old_python_is_told_what_is_needed_and_what_was_found():
    with pytest.raises(
        SystemExit, match=r"Python 3\.11 or newer is needed: .* is 3\.9\.18\.\nChoose another"
    ):
        make.check_python((3, 9, 18))


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 14, 1)])
def test_new_python_is_accepted(version):
    make.check_python(version)


def steps(log, *failing):
    def act(name):
        log.append(name)
        if name in failing:
            raise make.StepFailed("exit code 3 from\n      pytest tests")

    return [
        make.Step(name, lambda n=name: f"doing {n}", lambda n=name: act(n))
        for name in ("lint", "unit", "site")
    ]


def test_first_failure_stops_names_the_step_and_how_to_repeat_it(capsys, monkeypatch):
    monkeypatch.setattr(make.os, "name", "posix")
    monkeypatch.setenv("BOOK", "book/2 core")
    log = []
    assert make.perform(steps(log, "unit")) == 1
    assert log == ["lint", "unit"]
    out = capsys.readouterr().out
    assert "[1/3] doing lint …\n[2/3] doing unit …\n" in out
    assert re.search(r"\[2/3\] unit FAILED after \d+\.\d s: exit code 3 from\n      pytest tests\n", out)
    assert "Repeat it alone: make unit 'BOOK=book/2 core'" in out


def test_summary_lists_every_step_with_its_time(capsys):
    assert make.perform(steps([])) == 0
    summary = capsys.readouterr().out.partition("\nDone:\n")[2]
    assert re.findall(r"\d+\.\d s  (.+)", summary) == ["lint", "unit", "site", "in all"]


def test_variables_of_a_step_last_as_long_as_it_does(monkeypatch, capsys):
    monkeypatch.setattr(make.os, "name", "posix")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    seen = []

    def act():
        seen.append(make.os.environ["OMP_NUM_THREADS"])
        raise make.StepFailed("no")

    make.perform([make.Step("notebooks", lambda: "compare", act, {"OMP_NUM_THREADS": "2"})])
    assert seen == ["2"]
    assert make.os.environ["OMP_NUM_THREADS"] == "1"
    assert re.search(r"make notebooks .*OMP_NUM_THREADS=2", capsys.readouterr().out)


def test_portability_asks_a_processor_only_for_what_it_has():
    settings = [step.variables for step in make.portability_steps("x86_64")]
    assert settings == [
        {"ATEN_CPU_CAPABILITY": "default"},
        {"ATEN_CPU_CAPABILITY": "avx2"},
        {"OMP_NUM_THREADS": "2"},
    ]
    assert {"ATEN_CPU_CAPABILITY": "avx2"} not in [s.variables for s in make.portability_steps("arm64")]


def test_help_lists_all_targets(capsys):
    assert make.main([]) == 0
    out = capsys.readouterr().out
    for name in (*make.TARGETS, *make.VARIABLES):
        assert re.search(rf"^  {re.escape(name)} ", out, re.MULTILINE)


def test_makefile_has_the_same_targets():
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    (targets,) = re.findall(r"^TARGETS := (.+)$", makefile, re.MULTILINE)
    assert set(targets.split()) == set(make.TARGETS)


def test_every_step_repeats_under_its_own_name():
    for target in make.TARGETS.values():
        for step in target.steps:
            assert step in make.TARGETS[step.name].steps or step.variables


@pytest.mark.parametrize(("word", "kind"), [("tets", "target"), ("BOK=book", "variable")])
def test_unknown_word_is_answered_with_the_help(word, kind, capsys):
    assert make.main([word]) == 2
    err = capsys.readouterr().err
    assert f"There is no {kind} '{word.partition('=')[0]}'." in err
    assert "Targets:" in err


def test_notebooks_are_found_without_checkpoints_and_builds(tmp_path):
    wanted = [notebook(tmp_path / "1-a" / "b.ipynb"), notebook(tmp_path / "c.ipynb")]
    notebook(tmp_path / ".ipynb_checkpoints" / "c-checkpoint.ipynb")
    notebook(tmp_path / "_build" / "c.ipynb")
    assert make.find_notebooks([tmp_path]) == wanted
    assert make.find_notebooks([wanted[1]]) == [wanted[1]]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_no_notebook_is_a_failure_and_not_a_success(name, project, monkeypatch, capsys):
    (make.ROOT / "empty").mkdir()
    monkeypatch.setenv("BOOK", name)
    with pytest.raises(make.StepFailed, match=f"no notebook found: .*{name}"):
        make.static()
    assert make.perform([make.COMPARE]) == 1
    assert "notebooks FAILED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cores", "threads", "workers"),
    [(1, None, None), (2, None, 2), (16, None, 3), (2, "2", None), (4, "2", 2), (1, "2", None)],
)
def test_comparison_has_no_more_threads_than_cores(cores, threads, workers, project, monkeypatch):
    for name in "abc":
        notebook(make.ROOT / "part" / f"{name}.ipynb")
    monkeypatch.setattr(make, "cores", lambda: cores)
    monkeypatch.setenv("BOOK", "part")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if threads:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    make.compare()
    (command,) = project
    assert "--nbval" in command
    if workers:
        assert command[command.index("-n") + 1] == workers
        assert command[command.index("--dist") + 1] == "loadscope"
    else:
        assert "-n" not in command


def test_site_is_built_from_nothing(project):
    leftover = make.SITE.parent / "old.html"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    make.build_site()
    assert not leftover.exists()
    assert project == [(make.venv_program("jupyter-book"), "build", ".", "--all", "-W", "--keep-going")]


def test_site_tests_want_a_site(project):
    with pytest.raises(make.StepFailed, match="there is no site yet: build it with `make site`"):
        make.test_site()


def test_quiet_command_speaks_when_it_fails(capfd, monkeypatch):
    monkeypatch.delenv("VERBOSE", raising=False)
    make.run(sys.executable, "-c", "print('fine')", quiet=True)
    assert capfd.readouterr().out == ""
    with pytest.raises(make.StepFailed, match=r"exit code 3 from\n .*python"):
        make.run(sys.executable, "-c", "print('broken'); raise SystemExit(3)", quiet=True)
    assert "broken" in capfd.readouterr().out


def test_verbose_shows_the_quiet_commands(capfd, monkeypatch):
    monkeypatch.setenv("VERBOSE", "1")
    make.run(sys.executable, "-c", "print('fine')", quiet=True)
    assert capfd.readouterr().out.strip() == "fine"


def test_missing_program_is_named():
    with pytest.raises(make.StepFailed, match="there is no no-such-program"):
        make.run("no-such-program")
