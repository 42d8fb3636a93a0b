"""SampleCache: decoded pictures kept in memory, so that only the first epoch reads files."""

from __future__ import annotations

import threading
from typing import Protocol

from minissd.datasets.sample import Sample


class Dataset(Protocol):
    """What a loader asks of a data set: its length and its samples, from several threads at once."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


class SampleCache:
    """Keeps the samples that were asked for first, up to a size, and reads all others anew each time.

    Nothing is thrown out for a newcomer: an epoch asks for every sample once, so a sample that was used last is the
    one that will be needed latest. Pictures are given read-only, because several epochs share them.

    Args:
        dataset: Where samples come from.
        max_bytes: Size of all pictures and boxes kept, at most.

    Attributes:
        n_bytes: Size of what is kept.
    """

    def __init__(self, dataset: Dataset, max_bytes: int):
        self.dataset = dataset
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._kept: dict[int, Sample] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        sample = self.dataset[index]  # outside the lock: threads decode at the same time
        n_bytes = sample.image.nbytes + sample.boxes.nbytes
        image = sample.image.view()
        image.flags.writeable = False
        sample = sample.replace(image=image)
        with self._lock:
            if index not in self._kept and self.n_bytes + n_bytes <= self.max_bytes:
                self._kept[index] = sample
                self.n_bytes += n_bytes
        return sample
