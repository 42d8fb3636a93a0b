"""How far would data-parallel training scale? A calculation on paper, from step time, bytes, bandwidth and latency.

python -m benchmarks.distributed_model                              the tables of docs/scaling.md
python -m benchmarks.distributed_model --step ssd300=45             with another step time, milliseconds

Every GPU keeps its own batch, so the time of a step is that of one GPU plus what adding up the gradients costs:

    ring all-reduce of n GPUs = 2 (n - 1) / n * bytes / bandwidth + 2 (n - 1) * latency
    batch norm over all GPUs  = 3 sums a layer, each a tree of 2 ceil(log2 n) messages of a few hundred bytes
    with overlap              = only what does not fit beside the way back (two thirds of the step) is waited for, and
                                the last bucket of gradients in any case; batch norm's sums cannot be hidden
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from minissd.models.build import build_model
from minissd.models.trace import trace
from minissd.nn import BatchNorm2d

RESULTS = Path(__file__).parent / "results" / "distributed"
GPUS = (1, 2, 4, 8, 16, 32, 64)
PEAK = (
    495e12  # operations/s: TF32 matrix products of an H100 SXM without sparsity, by its data sheet
)
BUCKET_BYTES = 2**20
BACKWARD = 2 / 3  # of a step: the way back has two matrix products for the one of the way there


@dataclass(frozen=True)
class Network:
    """What is trained on each GPU.

    Attributes:
        name: Of the model.
        batch: Images a GPU.
        share: Of the peak rate that the step is assumed to reach.
        gradient_bytes: Of float32.
        flop: Of a step: three times the way there.
        norms: Batch norm layers.
        seconds: Of a step on one GPU.
    """

    name: str
    batch: int
    share: float
    gradient_bytes: int
    flop: float
    norms: int
    seconds: float


@dataclass(frozen=True)
class Link:
    """What connects the GPUs: bytes/s that one GPU sends, and seconds a message."""

    name: str
    bandwidth: float
    latency: float


# The rates that are reached, not those of the data sheets (450 GB/s a direction for NVLink 4, 12.5 GB/s): 80 and 90 %.
LINKS = (
    Link("NVLink 4, 360 GB/s and 5 microseconds a message", 360e9, 5e-6),
    Link("100 Gb/s Ethernet, 11.25 GB/s and 20 microseconds a message", 11.25e9, 20e-6),
)
CASES = (("ssd300", 32, 0.30), ("minissd", 64, 0.05))


def network(name: str, batch: int, share: float) -> Network:
    """Count a model's parameters, operations and batch norms, and derive the time of a step."""
    model = build_model(name, None, np.random.default_rng(0))
    gradient_bytes = sum(p.grad.nbytes for p in model.parameters().values())
    flop = 3.0 * batch * sum(2 * row.macs for row in trace(model))
    norms = sum(isinstance(layer, BatchNorm2d) for _, layer in model.layers())
    return Network(name, batch, share, gradient_bytes, flop, norms, flop / (share * PEAK))


def ring(n: int, n_bytes: float, link: Link) -> float:
    """Return the seconds of adding up `n_bytes` over n GPUs in a ring."""
    return 2 * (n - 1) / n * n_bytes / link.bandwidth + 2 * (n - 1) * link.latency


def norm_seconds(n: int, norms: int, link: Link) -> float:
    """Return the seconds of batch norm's sums over n GPUs."""
    return 3 * norms * 2 * math.ceil(math.log2(n)) * link.latency


def efficiency(n: int, case: Network, link: Link, overlap: bool, sync_norm: bool = False) -> float:
    """Return the time of a step on one GPU divided by that on n."""
    if n == 1:
        return 1.0
    waited = ring(n, case.gradient_bytes, link)
    if overlap:
        last = ring(n, min(BUCKET_BYTES, case.gradient_bytes), link)
        waited = max(last, waited - BACKWARD * case.seconds)
    if sync_norm:
        waited += norm_seconds(n, case.norms, link)
    return case.seconds / (case.seconds + waited)


def rows(case: Network) -> Iterator[str]:
    """Yield the lines of a network's table: for each link without and with overlap, and batch norm over all."""
    yield (
        f"{case.name}: batch {case.batch} a GPU, {case.gradient_bytes / 1e6:.1f} MB of gradients, "
        + (
            f"step {1e3 * case.seconds:.1f} ms ({case.flop / 1e9:,.0f} GFLOP), {case.norms} batch norms"
        )
    )
    yield f"  {'GPUs':<34}" + "".join(f"{n:>6}" for n in GPUS)
    for link in LINKS:
        yield f"  {link.name}"
        kinds = [("added up after the way back", False, False), ("with overlap", True, False)]
        if case.norms:
            kinds.append(("after it, batch norm over all GPUs", False, True))
        for words, overlap, sync in kinds:
            parts = [efficiency(n, case, link, overlap, sync) for n in GPUS]
            yield f"    {words:<32}" + "".join(f"{100 * part:>5.0f}%" for part in parts)


def measured_rows(folder: Path = RESULTS) -> Iterator[str]:
    """Yield lines that hold the same calculation against what was measured here, on two cores.

    Predicted: half of one thread's step with the whole batch, plus the measured time of adding up.
    """
    yield f"{'two processes of one thread, ms':<36}{'predicted':>10}{'measured':>10}{'overlapped':>12}"
    for path in sorted(folder.glob("*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        medians = {
            name: statistics.median(s for turn in turns for s in turn["seconds"])
            for name, turns in facts["results"].items()
        }
        both = "2 processes, 1 thread each"
        talk = statistics.median(turn["talk"] for turn in facts["results"][both])
        numbers = [medians["1 process, 1 thread"] / 2 + talk, medians[both]]
        numbers.append(medians["2 processes, overlapped"])
        cells = "".join(f"{1e3 * n:>{width}.1f}" for n, width in zip(numbers, (10, 10, 12)))
        title = f"{facts['model']}, global batch {facts['batch']}"
        yield f"{title:<36}{cells}"


def report(steps: dict[str, float] | None = None) -> str:
    """Return all tables; `steps` gives measured seconds by name of the network."""
    cases = [network(*case) for case in CASES]
    cases = [replace(c, seconds=(steps or {}).get(c.name, c.seconds)) for c in cases]
    blocks = ["\n".join(rows(case)) for case in cases]
    return "\n\n".join([*blocks, "\n".join(measured_rows())])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--step", action="append", default=[], metavar="MODEL=MS")
    given = (text.partition("=") for text in parser.parse_args().step)
    print(report({name: float(number) / 1e3 for name, _, number in given}))


if __name__ == "__main__":
    main()
