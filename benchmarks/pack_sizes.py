"""How pictures should be reduced for a pack: bytes, and how near they come to the original at a network's input.

  python -m benchmarks.pack_sizes data/VOC2007

Every 25th picture of the list is reduced in several ways, written as JPEG of quality 75, and read back; both it and the
original are then resized to 300 x 300 as in training, and compared: PSNR, decibels, higher is nearer.
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict

import numpy as np
from PIL import Image

from minissd.datasets.opening import open_dataset
from minissd.datasets.windows import resize_image

INPUT = 300
EVERY = 25
FILTERS = (Image.Resampling.LANCZOS, Image.Resampling.BILINEAR)


def sizes(width: int, height: int) -> dict[str, tuple[int, int]]:
    """Return the ways to reduce a picture: by its longer side, or squeezed into a square."""
    ways = {}
    for side in (192, 208, 224, 240):
        shrink = min(1.0, side / max(width, height))
        ways[f"longer side {side}"] = (round(width * shrink), round(height * shrink))
    for side in (176, 192, 208, 224):
        ways[f"square of {side}"] = (side, side)
    return ways


def measure(image: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> tuple[int, float]:
    """Return the bytes of the reduced picture and its PSNR at the network's input."""
    file = io.BytesIO()
    Image.fromarray(image).resize(size, how).save(file, "JPEG", quality=75, optimize=True)
    reduced = np.asarray(Image.open(file).convert("RGB"))
    difference = resize_image(image, INPUT).astype(float) - resize_image(reduced, INPUT)
    return file.tell(), 10 * np.log10(255**2 / np.mean(difference**2))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--split", default="trainval")
    args = parser.parse_args()
    pictures = open_dataset(args.data, args.split)
    found = defaultdict(list)
    for index in range(0, len(pictures), EVERY):
        image = pictures[index].image
        for name, size in sizes(image.shape[1], image.shape[0]).items():
            for how in FILTERS:
                found[f"{name}, {how.name.lower()}"].append(measure(image, size, how))
    print(f"{'reduced to':<28} {'bytes':>7} {'PSNR':>6}")
    for name, numbers in found.items():
        n_bytes, psnr = np.mean(numbers, axis=0)
        print(f"{name:<28} {n_bytes:>7.0f} {psnr:>6.2f}")


if __name__ == "__main__":
    main()
