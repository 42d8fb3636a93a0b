"""The two trainings on a GPU, in legs: each call goes on where the last one stopped.

  python -m benchmarks.gpu_training ssd300-bn --pack voc2007_224.tar.gz --out runs/ssd300-bn --minutes 8
  python -m benchmarks.gpu_training ssd-mobilenetv2 --pack voc2007_224.tar.gz --out runs/mobilenet --minutes 8

The pack is unpacked beside the run. RUN/legs.jsonl receives a line a leg: steps, seconds, images/s. What follows --
goes to `minissd train` after the settings and so replaces them (of the first leg; a run keeps its settings):

  python -m benchmarks.gpu_training ssd300-bn --pack voc2007_224.tar.gz --out runs/try --device cpu -- --batch-size 2

What is trained and why so: benchmarks/gpu_training.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from minissd import cli
from minissd.datasets.archives import unpack
from minissd.datasets.pack import ENDING
from minissd.models.pretrained import PHOTOS
from minissd.training.checkpoint import LAST, load_checkpoint

TRAININGS: dict[str, tuple[str, ...]] = {
    "ssd300-bn": (
        *("--model", "ssd300-bn", "--iterations", "12000", "--batch-size", "32"),
        *("--optimizer", "sgd", "--momentum", "0.9", "--lr", "0.01", "--weight-decay", "5e-4"),
        *("--schedule", "cosine", "--warmup", "500", "--clip-norm", "10", "--augment", "paper"),
    ),
    "ssd-mobilenetv2": (
        *("--recipe", "ssd-mobilenetv2-voc07", "--init", str(PHOTOS)),
        *("--iterations", "6000", "--augment", "paper"),
    ),
}
COMMON = (
    "--eval-split",
    "test_dev",
    "--eval-every",
    "10",
    "--save-every",
    "500",
    "--workers",
    "14",
)


def command(name: str, data: Path, out: Path, extra: Sequence[str]) -> list[str]:
    """Return the words of `minissd` that begin a training, or go on with one."""
    if (out / LAST).exists():
        return ["train", "--resume", str(out)]
    return ["train", str(data), "--out", str(out), *TRAININGS[name], *COMMON, *extra]


def unpacked(pack: Path, folder: Path) -> Path:
    """Return the data set of a pack, unpacked into a folder unless it is there already."""
    data = folder / pack.name.removesuffix(ENDING)
    if not data.exists():
        unpack(pack, folder)
    return data


def steps_done(out: Path) -> int:
    """Return how many steps the run of a folder has behind it."""
    return load_checkpoint(out / LAST).step if (out / LAST).exists() else 0


def leg(words: list[str], out: Path) -> int:
    """Train, and write down how far and how fast it went; return the exit status."""
    before, began = steps_done(out), time.perf_counter()
    status = cli.main(words)
    seconds, steps = time.perf_counter() - began, steps_done(out) - before
    if status == 0:
        images = steps * json.loads((out / "config.json").read_text())["batch_size"]
        row = {"steps": steps, "seconds": round(seconds, 1), "images_per_second": images / seconds}
        with (out / "legs.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        rate = f"{images / seconds:.1f} images/s, start and evaluations included"
        print(f"{steps} steps in {seconds:.0f} s: {rate}; {before + steps} steps done")
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one leg."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    split = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("training", choices=TRAININGS)
    parser.add_argument("--pack", type=Path, required=True, help="what `minissd pack` wrote")
    parser.add_argument("--out", type=Path, required=True, help="run folder")
    parser.add_argument("--minutes", default="8", help="length of the leg (default: 8)")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="gpu: with TF32")
    args = parser.parse_args(words[:split])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    data = unpacked(args.pack, args.out.parent)
    train = command(args.training, data, args.out, words[split + 1 :])
    train += ["--device", args.device, "--minutes", args.minutes]
    return leg(train + (["--tf32"] if args.device == "gpu" else []), args.out)


if __name__ == "__main__":
    sys.exit(main())
