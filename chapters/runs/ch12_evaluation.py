"""Make ch12_evaluation.npz: what a small SSD, trained on drawn shapes, finds in 200 pictures that it has never seen.

    python chapters/runs/ch12_evaluation.py

It trains as `python -m minissd demo --epochs 6` does (on one processor core in about seven minutes; a run that is there
already is only read) and stores the detections of every picture, from the score floor 0.01 on. The pictures and their
objects are not stored: `picture(number)` draws them again. All that chapter 12 measures, it measures live.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from demo_run import first_losses, trained

from minissd.boxes import Detections
from minissd.datasets.sample import Sample
from minissd.datasets.shapes import draw_scene
from minissd.datasets.windows import resize_image
from minissd.models.detector import Detector

STORED = Path(__file__).resolve().parent / "ch12_evaluation.npz"
EPOCHS = 6
N_PICTURES = 200
SEED = 12


def picture(number: int) -> Sample:
    """Return one of the pictures, 256 x 192 pixels, with its objects."""
    return draw_scene(np.random.default_rng([SEED, number]))


def found_in(detector: Detector, sample: Sample) -> Detections:
    """Return all detections of one picture."""
    return detector.detect_one(resize_image(sample.image, detector.model.spec.image_size))


def packed(detections: list[Detections]) -> dict[str, np.ndarray]:
    """Return the detections of all pictures in one row, and the picture of each; boxes as exact as float16."""
    counts = [len(found.scores) for found in detections]
    return {
        "boxes": np.concatenate([found.boxes for found in detections])
        .astype(np.float16)
        .astype(float),
        "labels": np.concatenate([found.labels for found in detections]),
        "scores": np.concatenate([found.scores for found in detections]).astype(np.float32),
        "picture": np.repeat(np.arange(len(counts)), counts).astype(np.uint8),
    }


def main() -> None:
    """Train where there is no finished run, and store what the network finds."""
    detector = trained(__doc__.splitlines()[0], "runs/ch12", EPOCHS)
    stored = packed([found_in(detector, picture(number)) for number in range(N_PICTURES)])
    spec = detector.model.spec
    settings = [spec.score_floor, spec.nms_iou, spec.max_detections]
    np.savez_compressed(STORED, **stored, settings=np.array(settings), losses=first_losses(EPOCHS))
    print(
        f"{STORED.name}: {len(stored['scores'])} detections, {STORED.stat().st_size / 1000:.0f} kB"
    )


if __name__ == "__main__":
    main()
