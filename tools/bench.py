"""Compare the companion's encoder with its peers in one run: time and memory, as ratios.

python -m tools.bench             measure, print the table
python -m tools.bench --write     also store it: book/results, with its provenance, and the page
python -m tools.bench --quick     small sizes, a few rounds: does everything still run?

Absolute times say more about a machine than about code, so nothing here is a test with a time limit. The
contenders take turns, round by round, and each round gives one ratio to the fastest peer; the table shows the
median.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.blocks import EncoderBlock
from tools.bench_table import page
from tools.notebook_form import write

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "book" / "results"
PAGE = ROOT / "book" / "reference" / "speed.md"

FULL = {"d_model": 384, "num_layers": 6, "num_heads": 12, "d_ff": 1536, "batch": 8, "length": 128}
QUICK = {"d_model": 32, "num_layers": 2, "num_heads": 4, "d_ff": 64, "batch": 2, "length": 16}
DROPOUT = 0.1


class Ours(nn.Module):
    """A stack of the companion's encoder blocks."""

    def __init__(self, size: dict[str, int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            EncoderBlock(
                size["d_model"],
                size["num_heads"],
                size["d_ff"],
                dropout=DROPOUT,
                attention_dropout=DROPOUT,
                activation=F.gelu,
            )
            for _ in range(size["num_layers"])
        )

    def forward(self, x: Tensor) -> Tensor:
        """Encode `(B, T, D)`."""
        for block in self.blocks:
            x, _ = block(x)
        return x


def pytorch(size: dict[str, int]) -> nn.Module:
    """nn.TransformerEncoder; its extra dropout inside the feed-forward part, which BERT has not, is off."""
    layer = nn.TransformerEncoderLayer(
        size["d_model"],
        size["num_heads"],
        size["d_ff"],
        dropout=DROPOUT,
        activation="gelu",
        batch_first=True,
    )
    layer.dropout.p = 0.0
    return nn.TransformerEncoder(layer, size["num_layers"])


class Transformers(nn.Module):
    """The encoder of Hugging Face's BertModel, with the sdpa kernel."""

    def __init__(self, size: dict[str, int]) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        config = BertConfig(
            hidden_size=size["d_model"],
            num_hidden_layers=size["num_layers"],
            num_attention_heads=size["num_heads"],
            intermediate_size=size["d_ff"],
            hidden_dropout_prob=DROPOUT,
            attention_probs_dropout_prob=DROPOUT,
            attn_implementation="sdpa",
        )
        self.encoder = BertModel(config).encoder

    def forward(self, x: Tensor) -> Tensor:
        """Encode `(B, T, D)`."""
        return self.encoder(x).last_hidden_state


def x_transformers(size: dict[str, int]) -> nn.Module:
    """Post-norm encoder of x-transformers; its projections have no bias, its dropout sits in other places."""
    from x_transformers import Encoder

    return Encoder(
        dim=size["d_model"],
        depth=size["num_layers"],
        heads=size["num_heads"],
        attn_dim_head=size["d_model"] // size["num_heads"],
        ff_mult=size["d_ff"] / size["d_model"],
        attn_flash=True,
        pre_norm=False,
        attn_dropout=DROPOUT,
        ff_dropout=DROPOUT,
    )


CONTENDERS: dict[str, Callable[[dict[str, int]], nn.Module]] = {
    "companion": Ours,
    "nn.TransformerEncoder": pytorch,
    "Transformers (sdpa)": Transformers,
    "x-transformers": x_transformers,
}


def forward(model: nn.Module, x: Tensor) -> None:
    """One pass without gradients."""
    with torch.inference_mode():
        model(x)


def training_step(model: nn.Module, x: Tensor) -> None:
    """Forward, backward; no optimizer, which is the same for all."""
    model.zero_grad(set_to_none=True)
    model(x).float().square().mean().backward()


STEPS = {"forward": forward, "training": training_step}


def seconds(
    step: Callable[[nn.Module, Tensor], None], model: nn.Module, x: Tensor, device: torch.device
) -> float:
    """Wall time of one step, finished on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    step(model, x)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def race(
    name: str, size: dict[str, int], rounds: int, device: torch.device, mode: str
) -> dict[str, list[float]]:
    """Seconds of each contender in each round, the contenders taking turns."""
    x = torch.randn(size["batch"], size["length"], size["d_model"], device=device)
    step, models = STEPS[name], {}
    for contender, build in CONTENDERS.items():
        torch.manual_seed(0)
        model = build(size).to(device).train(name == "training")
        models[contender] = torch.compile(model) if "compile" in mode else model
    times: dict[str, list[float]] = {contender: [] for contender in CONTENDERS}
    with torch.autocast(device.type, torch.bfloat16, enabled="bf16" in mode):
        for i in range(rounds + 2):  # the first two rounds warm up
            for contender, model in models.items():
                elapsed = seconds(step, model, x, device)
                if i >= 2:
                    times[contender].append(elapsed)
            print(f"\r{name}, {mode}: round {max(i - 1, 0)} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return times


def peak_mebibytes(contender: str, size: dict[str, int], device: torch.device) -> float:
    """Memory that one training step adds at its peak; on a CPU in a process of its own."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        model = CONTENDERS[contender](size).to(device).train()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        training_step(model, torch.randn(size["batch"], size["length"], size["d_model"], device=device))
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    if not Path("/proc/self/clear_refs").exists():
        return math.nan  # only Linux keeps a peak that can be reset
    command = [sys.executable, "-m", "tools.bench", "--memory-of", contender, "--size", json.dumps(size)]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def own_peak_mebibytes(contender: str, size: dict[str, int]) -> float:
    """The same for this process: the peak of resident memory during a step, less what was resident before."""
    model = CONTENDERS[contender](size).train()
    x = torch.randn(size["batch"], size["length"], size["d_model"])
    training_step(model, x[:1, :2])  # libraries load their kernels and the gradients get their memory here
    model.zero_grad(set_to_none=False)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of start-up
    before = resident_kibibytes("VmRSS")
    training_step(model, x)
    return (resident_kibibytes("VmHWM") - before) / 1024


def resident_kibibytes(name: str) -> int:
    """A line of this process's memory report: VmRSS is resident now, VmHWM the most that ever was."""
    report = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line for line in report.splitlines() if line.startswith(name)).split()[1])


def measure(size: dict[str, int], rounds: int, device: torch.device) -> dict:
    """Everything the table needs, with its provenance."""
    modes = ["float32"] if device.type == "cpu" else ["float32", "bf16", "bf16, compiled"]
    rows = []
    for mode in modes:
        for name in STEPS:
            times = race(name, size, rounds, device, mode)
            peers = [contender for contender in CONTENDERS if contender != "companion"]
            fastest = min(peers, key=lambda peer: statistics.median(times[peer]))
            for contender, mine in times.items():
                ratios = [a / b for a, b in zip(mine, times[fastest], strict=True)]
                low, _, high = statistics.quantiles(ratios, n=4)
                rows.append(
                    {
                        "mode": mode,
                        "step": name,
                        "contender": contender,
                        "fastest_peer": fastest,
                        "milliseconds": 1e3 * statistics.median(mine),
                        "ratio": statistics.median(ratios),
                        "quartiles": [low, high],
                    }
                )
    memory = {contender: peak_mebibytes(contender, size, device) for contender in CONTENDERS}
    return {"size": size, "dropout": DROPOUT, "rounds": rounds, "rows": rows, "memory": memory} | provenance(
        device
    )


def provenance(device: torch.device) -> dict:
    """What was run, when, with what, on what."""
    from importlib.metadata import version

    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "command": "python -m tools.bench --write",
        "commit": commit or "unknown",
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": torch.cuda.get_device_name() if device.type == "cuda" else processor(),
        "device": device.type,
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": version("transformers"),
            "x-transformers": version("x-transformers"),
        },
    }


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison as the command line asks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="store the result and the page that shows it")
    parser.add_argument("--quick", action="store_true", help="small sizes, three rounds")
    parser.add_argument("--rounds", type=int, default=None, help="rounds that count (default: 21)")
    parser.add_argument("--memory-of", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.write and options.quick:
        parser.error("--write stores full-size results: leave --quick out")
    # Of the peers, nn.TransformerEncoder warns about its own fast path; that is not ours to fix.
    warnings.simplefilter("ignore")
    if options.memory_of:
        print(own_peak_mebibytes(options.memory_of, options.size))
        return 0
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rounds = options.rounds or (3 if options.quick else 21)
    result = measure(QUICK if options.quick else FULL, rounds, device)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        write(RESULTS / f"bench-{device.type}.json", json.dumps(result, indent=1) + "\n")
        stored = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(RESULTS.glob("bench-*.json"))]
        write(PAGE, page(stored))
        print(f"written: {PAGE.relative_to(ROOT)}")
    else:
        print(page([result]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
