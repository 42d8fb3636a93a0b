import threading

import numpy as np
import pytest
from augment_samples import Pictures, assert_same

from minissd.datasets.cache import SampleCache


def test_cache_gives_read_only_pictures_and_leaves_the_data_set_alone():
    data = Pictures(2)
    cache = SampleCache(data, 10**6)
    for _ in range(2):
        with pytest.raises(ValueError, match="read-only"):
            cache[0].image[0] = 0
    assert data.samples[0].image.flags.writeable
    assert cache[0] is cache[0]
    assert len(cache) == 2


def test_cache_under_many_threads():
    data = Pictures(30)
    cache = SampleCache(data, 10**9)

    def read():
        for index in np.random.default_rng().permutation(30).tolist():
            assert_same(cache[index], data.samples[index])

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.n_bytes == sum(s.image.nbytes + s.boxes.nbytes for s in data.samples)
