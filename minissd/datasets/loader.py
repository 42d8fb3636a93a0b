"""Loader: batches of transformed samples, prepared by worker threads ahead of the consumer.

What a batch holds depends on the seed, the epoch and the sample's index alone: not on the number of threads, on their
timing, on whether the epoch was begun in the middle, or on how many processes share the batches.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from minissd.datasets.cache import Dataset, SampleCache
from minissd.datasets.sample import Sample
from minissd.errors import check, check_positive_int

CACHE_BYTES = 512 * 2**20
Transform = Callable[[Sample, np.random.Generator], Sample]


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples of one size, put together; N is `len(batch)`.

    Attributes:
        images: Shape (N, S, S, 3), uint8, RGB.
        boxes: N arrays (M, 4), float32, corners as fractions.
        labels: N arrays (M,), int64.
        difficult: N arrays (M,), bool.
        ids: N names of pictures.
    """

    images: np.ndarray
    boxes: list[np.ndarray]
    labels: list[np.ndarray]
    difficult: list[np.ndarray]
    ids: list[str]

    def __len__(self) -> int:
        return len(self.ids)


class Loader:
    """Goes through a data set in batches.

    Args:
        dataset: Its samples are asked for from several threads at once.
        batch_size: Samples a batch.
        transform: Called as `transform(sample, generator)`; it must not change the sample. All pictures it gives must
            have one size. None for samples that have one size already.
        seed: Of the order and of every sample's random numbers.
        workers: Threads that load ahead; 0 loads in the caller's thread.
        shuffle: A new order in every epoch, instead of the data set's own.
        drop_last: Leave out the last batch where it is short. A data set smaller than one batch still gives that one
            short batch, rather than none.
        prefetch: Batches that are being prepared or waiting, at most.
        cache_bytes: Decoded pictures are kept up to this size in memory, so that later epochs need not read them
            again; 0 keeps none.
        part, n_parts: Load only this part (from 0) of every batch, of so many nearly equal ones: for processes that
            share the work. Together the parts are the batch, sample for sample.

    Attributes:
        wait_seconds: How long the consumer of the current (or last) epoch has waited for batches.

    Raises:
        ValueError: The data set is empty or an argument is out of range.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        transform: Transform | None = None,
        *,
        seed: int = 0,
        workers: int = 2,
        shuffle: bool = True,
        drop_last: bool = True,
        prefetch: int = 4,
        cache_bytes: int = CACHE_BYTES,
        part: int = 0,
        n_parts: int = 1,
    ):
        check(len(dataset) > 0, "dataset", "at least one sample", "none")
        self.samples = SampleCache(dataset, check_positive_int(cache_bytes, "cache_bytes", 0))
        self.n_samples = len(dataset)
        self.batch_size = check_positive_int(batch_size, "batch_size")
        self.transform = transform
        self.seed = check_positive_int(seed, "seed", 0)
        self.workers = check_positive_int(workers, "workers", 0)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.prefetch = check_positive_int(prefetch, "prefetch")
        self.part = check_positive_int(part, "part", 0)
        self.n_parts = check_positive_int(n_parts, "n_parts")
        check(part < n_parts, "part", f"a number below {n_parts}", part)
        smallest = min(len(indices) for indices in self.batches(0))
        check(smallest >= n_parts, "n_parts", f"at most the {smallest} samples of a batch", n_parts)
        self.wait_seconds = 0.0

    def __len__(self) -> int:
        """Batches an epoch."""
        full, rest = divmod(self.n_samples, self.batch_size)
        return full if rest == 0 or (self.drop_last and full) else full + 1

    def order(self, epoch: int) -> np.ndarray:
        """Return the indices of all samples in the order of an epoch, shape (n_samples,), int64."""
        if not self.shuffle:
            return np.arange(self.n_samples)
        # No sample has this index, so the order shares its random numbers with none of them.
        return sample_rng(self.seed, epoch, self.n_samples).permutation(self.n_samples)

    def batches(self, epoch: int) -> list[list[int]]:
        """Return the indices of the samples of every whole batch of an epoch."""
        order, size = self.order(epoch).tolist(), self.batch_size
        return [order[i * size : (i + 1) * size] for i in range(len(self))]

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """Go through one epoch.

        The threads end with the iterator: when it is used up, closed or dropped, or when an error passes through it.

        Args:
            number: Which epoch, from 0.
            skip: Batches to leave out at the start, without loading them; the others are as they would have been.

        Returns:
            An iterator over the batches, in order.

        Raises:
            ValueError: `number` or `skip` is out of range. While iterating, also whatever the data set or the
                transform raised, when the batch it belongs to is due; a note says which sample it was.
        """
        check_positive_int(number, "number", 0)
        check_positive_int(skip, "skip", 0)
        check(skip <= len(self), "skip", f"at most the {len(self)} batches of an epoch", skip)
        batches = self.batches(number)[skip:]
        batches = [indices[cut(len(indices), self.part, self.n_parts)] for indices in batches]
        self.wait_seconds = 0.0
        if self.workers == 0:
            return self._load_here(number, batches)
        return self._load_ahead(number, batches)

    def _load_here(self, epoch: int, batches: list[list[int]]) -> Iterator[Batch]:
        for indices in batches:
            begun = time.perf_counter()
            batch = self._load(epoch, indices)
            self.wait_seconds += time.perf_counter() - begun
            yield batch

    def _load_ahead(self, epoch: int, batches: list[list[int]]) -> Iterator[Batch]:
        stop = threading.Event()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="minissd-loader")
        pending: deque[Future[Batch]] = deque()
        remaining = iter(batches)
        try:
            while True:
                while len(pending) < self.prefetch and (indices := next(remaining, None)):
                    pending.append(pool.submit(self._load, epoch, indices, stop))
                if not pending:
                    return
                begun = time.perf_counter()
                batch = pending.popleft().result()
                self.wait_seconds += time.perf_counter() - begun
                yield batch
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _load(
        self, epoch: int, indices: list[int], stop: threading.Event | None = None
    ) -> Batch | None:
        """Load the samples of a batch and put them together; None if `stop` was set meanwhile."""
        samples = []
        for index in indices:
            if stop is not None and stop.is_set():
                return None  # nobody waits for this batch any more
            try:
                sample = self.samples[index]
                if self.transform is not None:
                    sample = self.transform(sample, sample_rng(self.seed, epoch, index))
            except Exception as error:
                error.add_note(f"while loading sample {index} of the data set, epoch {epoch}")
                raise
            samples.append(sample)
        return collate(samples)


def cut(count: int, part: int, n_parts: int) -> slice:
    """Return where one of several nearly equal parts of `count` things lies."""
    return slice(count * part // n_parts, count * (part + 1) // n_parts)


def sample_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the random numbers of one sample in one epoch."""
    return np.random.default_rng([seed, epoch, index])


def collate(samples: list[Sample]) -> Batch:
    """Put samples together.

    Args:
        samples: At least one; their pictures have one size.

    Returns:
        The batch, in the same order.

    Raises:
        ValueError: A picture has another size than the first; the message names both.
    """
    first = samples[0]
    for sample in samples:
        if sample.size != first.size:
            raise ValueError(
                f"transform: expected pictures of one size, got {first.size} for {first.image_id!r} "
                f"and {sample.size} for {sample.image_id!r}"
            )
    return Batch(
        images=np.stack([sample.image for sample in samples]),
        boxes=[sample.boxes for sample in samples],
        labels=[sample.labels for sample in samples],
        difficult=[sample.difficult for sample in samples],
        ids=[sample.image_id for sample in samples],
    )
