"""Uploading ahead: while a GPU works on one batch, the pictures of the next are on their way to it.

A copy can run beside the kernels only from memory that the system never moves ("pinned"), and in a queue of its own (a
"stream"). Two places take turns, each with such a buffer on the host, its counterpart on the device, and two events:

    copied   its last copy has ended: before that, nobody may write to the buffer on the host
    used     the step that read it has ended: before that, no copy may overwrite the one on the device

Events are queued like kernels, so the streams wait for each other and the host for (almost) nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import ModuleType

import numpy as np

from minissd.backend import Array
from minissd.datasets.loader import Batch

PLACES = 2  # one is computed with, one is filled


def upload_ahead(batches: Iterator[Batch], xp: ModuleType) -> Iterator[Batch]:
    """Bring the pictures of batches to the device, one batch ahead; for NumPy, return the batches as they are.

    A batch is valid until the next one is asked for: then its pictures may be overwritten.

    Args:
        batches: From `Loader.epoch`.
        xp: The array module of the model.

    Returns:
        An iterator over the same batches, whose `images` are device arrays.
    """
    if not hasattr(xp, "cuda"):
        return batches
    return _upload_ahead(batches, Uploader(xp))


def _upload_ahead(batches: Iterator[Batch], uploader: Uploader) -> Iterator[Batch]:
    """Load and copy in a thread, so that neither keeps the training step from being queued."""

    def bring_next() -> tuple[Batch, Place] | None:
        batch = next(batches, None)
        return None if batch is None else (batch, uploader.send(batch.images))

    thread = ThreadPoolExecutor(1, thread_name_prefix="minissd-upload")
    try:
        coming = thread.submit(bring_next)
        while (arrived := coming.result()) is not None:
            coming = thread.submit(bring_next)
            batch, place = arrived
            yield replace(batch, images=uploader.receive(place))
            uploader.release(place)
    finally:
        thread.shutdown(wait=True, cancel_futures=True)
        uploader.close()
        if hasattr(batches, "close"):
            batches.close()


class Place:
    """A buffer on the host, one on the device, and how far their use has come.

    Args:
        cuda: CuPy's module `cupy.cuda`, or what stands for it in tests.
    """

    def __init__(self, cuda: ModuleType):
        self.copied = cuda.Event(disable_timing=True)
        self.used = cuda.Event(disable_timing=True)
        self.host = np.empty(0, np.uint8)
        self.device: Array | None = None
        self.view: Array | None = None


class Uploader:
    """Copies pictures to the device in a stream of its own.

    Args:
        xp: CuPy. What is used of it: `empty`, arrays' `set`, and of `xp.cuda` alloc_pinned_memory, Device, Event,
            Stream and get_current_stream.
    """

    def __init__(self, xp: ModuleType):
        self.xp, self.cuda = xp, xp.cuda
        # A thread begins with the first GPU, which need not be this one.
        self.gpu = xp.cuda.Device()
        self.compute = xp.cuda.get_current_stream()
        self.stream = xp.cuda.Stream(non_blocking=True)
        self.places = [Place(xp.cuda) for _ in range(PLACES)]
        self.sent = 0

    def send(self, images: np.ndarray) -> Place:
        """Queue the copy of pictures (N, S, S, 3) uint8; may be called from another thread than `receive`."""
        place = self.places[self.sent % PLACES]
        self.sent += 1
        with self.gpu:
            place.copied.synchronize()
            if len(place.host) < images.nbytes:
                self._enlarge(place, images.nbytes)
            host = place.host[: images.nbytes].reshape(images.shape)
            np.copyto(host, images)
            place.view = place.device[: images.nbytes].reshape(images.shape)
            self.stream.wait_event(place.used)
            place.view.set(host, stream=self.stream)
            place.copied.record(self.stream)
        return place

    def _enlarge(self, place: Place, n_bytes: int) -> None:
        pinned = self.cuda.alloc_pinned_memory(n_bytes)
        place.host = np.frombuffer(pinned, np.uint8, n_bytes)
        place.device = self.xp.empty(n_bytes, np.uint8)
        # Memory of the pool may still be in use by kernels queued before: they come first as well.
        place.used.record(self.compute)

    def receive(self, place: Place) -> Array:
        """Return the pictures on the device; what is queued from now on waits for their copy."""
        self.compute.wait_event(place.copied)
        return place.view

    def release(self, place: Place) -> None:
        """Say that all that reads the pictures is queued."""
        place.used.record(self.compute)

    def close(self) -> None:
        """Wait for copies under way: their memory is given back after this."""
        self.stream.synchronize()
