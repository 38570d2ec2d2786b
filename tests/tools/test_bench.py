"""tools.bench: the contenders are of one size, the race runs, the page shows what is stored."""

import json

import pytest
import torch

from tools import bench, bench_table

# x-transformers imports a part of torch that is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("size", [bench.QUICK, bench.FULL])
def test_contenders_are_equally_large(size):
    counts = {
        name: sum(p.numel() for p in build(size).parameters()) for name, build in bench.CONTENDERS.items()
    }
    ours = counts.pop("companion")
    # x-transformers has no biases in its attention: less than two percent at full size.
    assert all(abs(count / ours - 1) < (0.02 if size is bench.FULL else 0.1) for count in counts.values()), (
        counts
    )


@pytest.mark.parametrize("contender", bench.CONTENDERS)
def test_dropout_is_on_in_training_and_off_otherwise(contender):
    model, x = bench.CONTENDERS[contender](bench.QUICK), torch.randn(2, 16, 32)
    assert not torch.equal(model.train()(x), model(x))
    assert torch.equal(model.eval()(x), model(x))


def test_quick_race_fills_the_table(capsys, monkeypatch):
    monkeypatch.setattr(bench, "peak_mebibytes", lambda *_: 1.0)
    assert bench.main(["--quick", "--rounds", "3"]) == 0
    table = capsys.readouterr().out
    for contender in bench.CONTENDERS:
        assert table.count(f"| {contender} |") == (2 if not torch.cuda.is_available() else 6)


def test_memory_is_measured_in_a_process_of_its_own():
    assert bench.peak_mebibytes("companion", bench.QUICK, torch.device("cpu")) >= 0


def test_the_page_shows_what_is_stored():
    stored = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(bench.RESULTS.glob("bench-*.json"))]
    assert stored
    assert bench.PAGE.read_text(encoding="utf-8") == bench_table.page(stored)


def test_quick_results_are_never_stored():
    with pytest.raises(SystemExit):
        bench.main(["--quick", "--write"])
