"""Samples for the tests of augmentation and loading: random ones, painted ones, and a data set in memory."""

from __future__ import annotations

import threading
import time

import numpy as np
from hypothesis import strategies as st

from minissd.datasets.sample import Sample
from minissd.errors import InputError

GRAY = 77


def random_sample(rng: np.random.Generator, width: int, height: int, n_objects: int) -> Sample:
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    ends = np.sort(rng.random((n_objects, 2, 2), dtype=np.float32), axis=1)
    return Sample(
        image,
        ends.reshape(n_objects, 4),
        rng.integers(1, 5, n_objects),
        rng.random(n_objects) < 0.3,
        "random",
    )


@st.composite
def samples(draw: st.DrawFn, max_side: int = 40, min_objects: int = 0) -> Sample:
    width, height = (draw(st.integers(1, max_side)) for _ in range(2))
    seed, n_objects = draw(st.integers(0, 2**32 - 1)), draw(st.integers(min_objects, 5))
    return random_sample(np.random.default_rng(seed), width, height, n_objects)


def smooth_sample(seed: int, width: int, height: int, n_objects: int = 2) -> Sample:
    """A picture without sharp edges, in middle tones."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [
        110 + 50 * np.sin(x / rng.uniform(9, 20) + rng.uniform(0, 6)) * np.cos(y / 14 + channel)
        for channel in range(3)
    ]
    image = np.stack(waves, axis=-1).astype(np.uint8)
    return random_sample(rng, width, height, n_objects).replace(image=image)


def color_of(label: int) -> np.ndarray:
    """The colour of the object with this label: none is gray, none is the canvas's."""
    return np.array([255, 40 * label, 0], np.uint8)


def painted_sample(seed: int, width: int = 61, height: int = 47) -> Sample:
    """A gray picture with one rectangle in each cell of a 2 x 2 grid; its label tells its colour."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), GRAY, np.uint8)
    boxes = []
    for label, (row, column) in enumerate(np.ndindex(2, 2), start=1):
        low = np.array([column * width, row * height]) // 2
        high = np.array([(column + 1) * width, (row + 1) * height]) // 2
        left, top = rng.integers(low, high - 2)
        right, bottom = rng.integers([left + 1, top + 1], high)
        image[top:bottom, left:right] = color_of(label)
        boxes.append([left / width, top / height, right / width, bottom / height])
    n = len(boxes)
    labels = np.arange(1, n + 1)
    return Sample(image, np.array(boxes, np.float32), labels, np.zeros(n, bool), f"painted{seed}")


def assert_valid(sample: Sample) -> None:
    boxes = sample.boxes
    assert boxes.dtype == np.float32
    assert sample.image.dtype == np.uint8
    assert sample.image.size > 0
    assert np.isfinite(boxes).all()
    assert (boxes >= 0).all()
    assert (boxes <= 1).all()
    assert (boxes[:, :2] <= boxes[:, 2:]).all()


def assert_same(a: Sample, b: Sample) -> None:
    for name in ("image", "boxes", "labels", "difficult"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert a.image_id == b.image_id


def copy_of(sample: Sample) -> Sample:
    return sample.replace(
        image=sample.image.copy(),
        boxes=sample.boxes.copy(),
        labels=sample.labels.copy(),
        difficult=sample.difficult.copy(),
    )


def assert_painted(sample: Sample) -> None:
    """Every box holds exactly the pixels of its object's colour, and lies on whole pixels."""
    for box, label in zip(sample.boxes, sample.labels):
        edges = box.astype(np.float64) * (sample.size * 2)
        whole = np.rint(edges).astype(int)
        np.testing.assert_allclose(edges, whole, atol=1e-3)
        left, top, right, bottom = whole
        has_color = (sample.image == color_of(label)).all(axis=-1)
        inside = np.zeros_like(has_color)
        inside[top:bottom, left:right] = True
        np.testing.assert_array_equal(has_color, inside)


class Pictures:
    """A data set in memory that counts what it is asked for, and can be slow or broken."""

    def __init__(self, n, width=24, height=18, delay=0.0, broken=()):
        rng = np.random.default_rng(n)
        self.samples = [
            random_sample(rng, width, height, i % 4).replace(image_id=f"{i:06}") for i in range(n)
        ]
        self.delay = delay
        self.broken = set(broken)
        self.asked = []
        self.threads = set()

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        self.asked.append(index)
        self.threads.add(threading.current_thread())
        time.sleep(self.delay)
        if index in self.broken:
            raise InputError(f"JPEGImages/{index:06}.jpg: the file ends too early")
        return self.samples[index]
