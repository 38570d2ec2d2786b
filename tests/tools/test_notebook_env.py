"""Notebooks run in an environment that the user's own does not reach."""

from pathlib import Path

from tools.notebook_env import REMOVED, prepare


def test_what_is_set_is_kept_replaced_or_removed_as_documented(tmp_path):
    environ = dict.fromkeys(REMOVED, "x") | {
        "OMP_NUM_THREADS": "2",
        "HF_HUB_OFFLINE": "0",
        "PYTHONPATH": "/mine",
        "ATEN_CPU_CAPABILITY": "avx2",
    }
    prepare(environ, tmp_path)
    assert not set(REMOVED) & set(environ)
    assert environ["OMP_NUM_THREADS"] == "2"
    assert environ["TQDM_DISABLE"] == "1"
    assert environ["HF_HUB_OFFLINE"] == "1"
    assert environ["CUDA_VISIBLE_DEVICES"] == ""
    assert environ["PYTHONPATH"] == "/mine"
    assert environ["ATEN_CPU_CAPABILITY"] == "avx2"


def test_matplotlib_and_ipython_start_from_their_own_defaults(tmp_path):
    environ = {"MATPLOTLIBRC": "/mine", "IPYTHONDIR": "/mine"}
    prepare(environ, tmp_path)
    assert Path(environ["MATPLOTLIBRC"]).is_file()
    assert environ["IPYTHONDIR"] == str(tmp_path)
    assert "HistoryManager.enabled = False" in (
        tmp_path / "profile_default" / "ipython_kernel_config.py"
    ).read_text(encoding="utf-8")
