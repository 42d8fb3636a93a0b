"""Make ch11_outputs.npz: what a small SSD, trained on drawn shapes, says of the scene and of crowded pictures.

    python chapters/runs/ch11_outputs.py

It trains as `python -m minissd demo --epochs 10` does (on one processor core in about ten minutes; a run that is there
already is only read), shows the network the pictures, and stores its raw answers: class scores before softmax, and
offsets, as float16. All that comes after the network is done live by chapter 11.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
STORED = FOLDER / "ch11_outputs.npz"
sys.path.insert(0, str(FOLDER.parent))

from course import scene  # noqa: E402 - found in the chapters' folder
from demo_run import first_losses, trained  # noqa: E402 - beside this file

from minissd.datasets.sample import Sample  # noqa: E402
from minissd.datasets.shapes import draw_scene  # noqa: E402
from minissd.datasets.windows import resize_image  # noqa: E402
from minissd.models.detector import Detector  # noqa: E402

EPOCHS = 10
CROWDS = {"crowd": (397, 7), "mixed": (3404, 3)}  # seed and number of objects


def pictures() -> dict[str, Sample]:
    """Return the scene and the crowded pictures, 300 pixels a side."""
    drawn = {"scene": scene()}
    for name, (seed, n_objects) in CROWDS.items():
        rng = np.random.default_rng(seed)
        drawn[name] = draw_scene(rng, size=(300, 300), n_objects=n_objects, scale=(0.2, 0.5))
    return drawn


def raw_outputs(detector: Detector, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (K, C + 1) before softmax and offsets (K, 4) of one picture, float16."""
    model = detector.model.eval()
    small = resize_image(image, model.spec.image_size)
    scores, offsets = model.forward(model.prepare(small[None]))
    return scores[0].astype(np.float16), offsets[0].astype(np.float16)


def main() -> None:
    """Train where there is no finished run, and store what the network says."""
    detector = trained(__doc__.splitlines()[0], "runs/ch11", EPOCHS)
    stored = {"losses": first_losses(EPOCHS)}
    for name, sample in pictures().items():
        scores, offsets = raw_outputs(detector, sample.image)
        stored |= {f"{name}_scores": scores, f"{name}_offsets": offsets}
    np.savez_compressed(STORED, **stored)
    print(f"{STORED.name}: {STORED.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
