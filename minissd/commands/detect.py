"""Find objects in your pictures.

Takes files, folders and patterns; writes each picture with its boxes, and `detections.json` with the
same in pixels of the picture as it is shown (after its EXIF rotation).

Without --weights, the detector that comes with the package looks for VOC's 20 classes: people, cars,
cats, dogs, bicycles, ... (its limits and licence: minissd/models/pretrained/README.md).

  python -m minissd detect photo.jpg
  python -m minissd detect shapes.png --weights runs/demo
  python -m minissd detect holiday/ "more/*.png" --weights runs/three --out found --min-score 0.5
"""

from __future__ import annotations

import argparse
import glob
import json
import sys
from pathlib import Path

import numpy as np

from minissd.commands.common import add_device, add_half, open_detector
from minissd.errors import InputError
from minissd.models.pretrained import PHOTOS

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Pictures, weights, output."""
    parser.add_argument("pictures", nargs="+", help="files, folders or patterns")
    parser.add_argument(
        "--weights",
        help="run folder, checkpoint or converted model (default: the detector for photographs)",
    )
    parser.add_argument("--out", default="detections", help="folder for the results")
    parser.add_argument(
        "--min-score", type=float, default=0.4, help="show detections from this score on"
    )
    add_device(parser)
    add_half(parser)


def run(args: argparse.Namespace) -> int:
    """Detect in every picture; 2 if any of them could not be read (the others are done all the same)."""
    from minissd import plotting
    from minissd.datasets.images import read_image
    from minissd.files import make_folder, write_text
    from minissd.training.inference import confident

    paths = find_pictures(args.pictures)
    weights = PHOTOS if args.weights is None else args.weights
    detector, _ = open_detector(weights, args.device, args.half)
    names = output_names(paths)
    refuse_overwriting(paths, Path(args.out), names)
    out = make_folder(args.out)
    results, failures = [], 0
    for path, name in zip(paths, names):
        try:
            image = read_image(path)
        except InputError as error:
            print(f"minissd detect: error: {error}", file=sys.stderr)
            failures += 1
            continue
        found = confident(detect_picture(detector, image), args.min_score)
        plotting.save_image(plotting.annotate_photo(image, found, detector.class_names), out / name)
        results.append(
            {
                "file": str(path),
                "width": image.shape[1],
                "height": image.shape[0],
                "picture": name,
                "objects": objects_in_pixels(found, image.shape, detector.class_names),
            }
        )
        print(f"{path}: {summary(results[-1]['objects'])} -> {out / name}")
    report = {"weights": str(weights), "min_score": args.min_score, "images": results}
    write_text(out / "detections.json", json.dumps(report, indent=2) + "\n")
    return 2 if failures else 0


def find_pictures(words: list[str]) -> list[Path]:
    """Return the picture files that files, folders and patterns mean, each once, in order.

    Raises:
        InputError: A word means nothing that exists.
    """
    found: dict[Path, None] = {}
    for word in words:
        path = Path(word)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise InputError(
                    f"{word}: no pictures in this folder ({' '.join(sorted(SUFFIXES))})"
                )
            found |= dict.fromkeys(inside)
        elif path.exists():
            found[path] = None
        else:
            matches = [p for p in map(Path, sorted(glob.glob(word, recursive=True))) if p.is_file()]
            if not matches:
                raise InputError(f"{word}: there is no such file, folder or match")
            found |= dict.fromkeys(matches)
    return list(found)


def output_names(paths: list[Path]) -> list[str]:
    """Return a file name for each result; pictures of the same name from different folders are numbered."""
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        name, number = f"{path.stem}.png", 2
        while name.casefold() in taken:
            name, number = f"{path.stem}-{number}.png", number + 1
        names.append(name)
        taken.add(name.casefold())  # Windows and macOS take a.png and A.png for one file
    return names


def refuse_overwriting(paths: list[Path], out: Path, names: list[str]) -> None:
    """Raise an `InputError` if a result would take the place of one of the pictures."""
    originals = {path.resolve() for path in paths}
    for name in names:
        if (out / name).resolve() in originals:
            raise InputError(
                f"{out / name}: is one of your pictures and would be overwritten; name another --out"
            )


def detect_picture(detector: object, image: np.ndarray) -> object:
    """Detect in one picture of any size: it is resized to the network's square input, as in training."""
    from minissd.datasets.augment import resize_image

    return detector.detect_one(resize_image(image, detector.model.spec.image_size))


def objects_in_pixels(found: object, shape: tuple, class_names: tuple[str, ...]) -> list[dict]:
    """Return detections as JSON-able dicts: class, score, box in pixels from the top left corner."""
    height, width = shape[:2]
    scale = np.array([width, height, width, height])
    return [
        {
            "class": class_names[label - 1],
            "score": round(float(score), 4),
            "box": [round(float(v), 1) for v in box * scale],
        }
        for box, label, score in zip(found.boxes, found.labels.tolist(), found.scores)
    ]


def summary(objects: list[dict]) -> str:
    """Return "2 cat, 1 dog" for a list of objects."""
    counts: dict[str, int] = {}
    for item in objects:
        counts[item["class"]] = counts.get(item["class"], 0) + 1
    return ", ".join(f"{n} {name}" for name, n in counts.items()) or "nothing found"
