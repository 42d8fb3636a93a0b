"""Data-parallel training: several processes make the steps of one, and talk as agreed; here they are threads."""

from __future__ import annotations

import types

import distributed_cases as cases
import numpy as np
import pytest
from fake_processes import in_processes
from strict_array import strict

from minissd.backend import to_cpu
from minissd.datasets.loader import Loader, cut
from minissd.datasets.opening import open_dataset
from minissd.datasets.sample import Sample
from minissd.models.build import build_minissd
from minissd.models.detector import Detector
from minissd.nn import BatchNorm2d
from minissd.training import inference
from minissd.training.communicator import ALONE
from minissd.training.config import TrainConfig
from minissd.training.inference import Shard, Subset, evaluate_dataset, interleave
from minissd.training.loop import OutOfTime, run_epochs
from minissd.training.trainer import Trainer


def assert_same_state(several, one, limit=1e-10):
    assert several.keys() == one.keys()
    for name, value in one.items():
        scale = max(1.0, np.abs(value).max())
        assert np.abs(several[name] - value).max() / scale < limit, name


@pytest.fixture(scope="module")
def alone():
    return {case: cases.train(case) for case in cases.CASES}


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("case", cases.CASES)
def test_several_processes_equal_one(case, size, alone):
    for state in in_processes(size, lambda communicator: cases.train(case, communicator)):
        assert_same_state(state, alone[case])


@pytest.mark.parametrize("case", ["clipped", "norm"])
def test_on_a_device_too(case, alone):
    states = in_processes(2, lambda communicator: cases.train(case, communicator, strict))
    assert_same_state(states[0], alone[case])


def test_the_training_that_is_compared_moves_the_weights(alone):
    for case, state in alone.items():
        before = cases.network(case == "norm").state()
        changes = [np.abs(state[name] - value).max() for name, value in before.items()]
        assert min(changes) > 1e-8, case
        assert state["results"][:, 3].min() > 0  # positives


def test_batch_norm_of_each_process_by_itself(alone, monkeypatch):
    """Without `sync_norm` the steps are others, all processes still agree, and statistics become their mean."""
    monkeypatch.setitem(cases.CASES, "norm", cases.CASES["norm"] | {"sync_norm": False})
    first, second = in_processes(2, lambda communicator: cases.train("norm", communicator))
    assert_same_state(first, second, 1e-15)
    with pytest.raises(AssertionError):
        assert_same_state(first, alone["norm"])

    def mean_of_own(communicator):
        layer = BatchNorm2d(2)
        layer.running_mean += communicator.rank
        trainer = types.SimpleNamespace(model=layer, communicator=communicator)
        Trainer.average_statistics(trainer)
        return layer.running_mean

    for mean in in_processes(4, mean_of_own):
        np.testing.assert_array_equal(mean, [1.5, 1.5])


def test_processes_stop_after_the_same_step_when_the_time_of_one_is_over():
    """Their clocks differ; what is asked after a step is asked of all."""

    def train(communicator):
        trainer = types.SimpleNamespace(communicator=communicator, step_number=0, total_steps=20)
        trainer.parameters = {"weight": types.SimpleNamespace(value=np.zeros(1))}
        trainer.must_read = False

        def step(_batch):
            trainer.step_number += 1
            return types.SimpleNamespace(step_number=trainer.step_number, loss=1.0)

        class Batches:
            def __len__(self):
                return 10

            def epoch(self, epoch, skip):
                return iter(range(10 - skip))

        trainer.step = step
        last = 3 if communicator.rank == 1 else 1000
        with pytest.raises(OutOfTime):
            run_epochs(
                trainer, Batches(), *2 * [lambda *_: None], lambda: trainer.step_number >= last
            )
        return trainer.step_number

    assert in_processes(3, train) == [3, 3, 3]


def test_weights_that_drift_apart_are_noticed():
    def drift(communicator):
        model = cases.network(False)
        trainer = Trainer(model, TrainConfig("", image_size=96), 1, communicator)
        trainer.check_same_weights()
        if communicator.rank == 2:
            trainer.parameters["heads.1.bias"].value[0] += 1e-12
        trainer.check_same_weights()

    with pytest.raises(RuntimeError, match=r"the weights of processes \[2\] differ"):
        in_processes(3, drift)


def test_parts_that_batch_norm_would_wait_for_are_refused(monkeypatch):
    monkeypatch.setitem(cases.CASES, "norm", cases.CASES["norm"] | {"accumulate": 2})
    with pytest.raises(
        ValueError, match=r"accumulate: expected equal numbers of parts.*\[1, 2, 2, 2\]"
    ):
        in_processes(4, lambda communicator: cases.train("norm", communicator))


def test_batch_norm_over_several_processes_equals_one(rng):
    check_shared_norm(rng, np)


def test_batch_norm_over_several_devices_equals_one(rng, device):
    """Kernels know the map of one process only, so it runs its array code."""
    check_shared_norm(rng, device)


def check_shared_norm(rng, xp):
    """Compare forward, backward and running statistics, with shares of 1 and 4 images."""
    x, dy = rng.standard_normal((2, 5, 3, 4, 2))
    whole = BatchNorm2d(2).astype(np.float64)
    expected = [whole.forward(x), whole.backward(dy)]

    def share(communicator):
        own = slice(0, 1) if communicator.rank == 0 else slice(1, 5)
        layer = BatchNorm2d(2).astype(np.float64).to(xp)
        layer.across = communicator.added
        got = [layer.forward(xp.asarray(x[own])), layer.backward(xp.asarray(dy[own]))]
        for ours, theirs in zip(got, expected):
            np.testing.assert_allclose(to_cpu(ours), theirs[own], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(to_cpu(layer.running_var), whole.running_var, rtol=1e-12)
        np.testing.assert_allclose(to_cpu(layer.running_mean), whole.running_mean, rtol=1e-12)
        return to_cpu(layer.gamma.grad)

    np.testing.assert_allclose(sum(in_processes(2, share)), whole.gamma.grad, rtol=1e-12)


class Pictures:
    """A data set of pictures of one pixel that say their number."""

    def __init__(self, count):
        self.count, self.asked = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.asked.append(index)
        image = np.full((1, 1, 3), index, np.uint8)
        boxes = np.zeros((0, 4), np.float32)
        return Sample(image, boxes, np.zeros(0, np.int64), np.zeros(0, bool), str(index))


def noisy(sample, rng):
    return sample.replace(image=sample.image + rng.integers(0, 100, (1, 1, 3)).astype(np.uint8))


@pytest.mark.parametrize("n", [2, 3, 7])
def test_parts_of_a_batch_are_the_batch_whatever_their_number(n):
    whole = list(Loader(Pictures(23), 7, noisy, seed=4, workers=0).epoch(2, skip=1))
    loaded, asked = [], []
    for part in range(n):
        pictures = Pictures(23)
        loader = Loader(pictures, 7, noisy, seed=4, workers=2, part=part, n_parts=n)
        loaded.append(list(loader.epoch(2, skip=1)))
        asked += pictures.asked
    for number, batch in enumerate(whole):
        shares = [batches[number] for batches in loaded]
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        np.testing.assert_array_equal(np.concatenate([s.images for s in shares]), batch.images)
        assert [name for share in shares for name in share.ids] == batch.ids
    assert len(asked) == len(set(asked)) == 14  # nothing is loaded twice


def test_a_batch_with_too_few_pictures_for_all_is_refused():
    for size, count in ((3, 23), (8, 3)):
        with pytest.raises(ValueError, match="n_parts: expected at most the 3 samples"):
            Loader(Pictures(count), size, part=0, n_parts=4)
    with pytest.raises(ValueError, match="n_parts: expected at most the 2 samples"):
        Loader(Pictures(23), 7, part=0, n_parts=4, drop_last=False)
    with pytest.raises(ValueError, match="part: expected a number below 4"):
        Loader(Pictures(23), 7, part=4, n_parts=4)


def test_shards_of_a_data_set_come_back_in_order():
    for count, n in ((10, 3), (2, 4), (0, 2)):
        shards = [Shard(range(count), first, n) for first in range(n)]
        assert interleave([[s[i] for i in range(len(s))] for s in shards]) == list(range(count))
        parts = [cut(count, part, n) for part in range(n)]
        assert [i for part in parts for i in range(count)[part]] == list(range(count))


def test_an_evaluation_that_is_shared_is_that_of_one_process(tiny_shapes, monkeypatch):
    """What is measured, since an untrained network's average precision says nothing."""
    monkeypatch.setattr(inference, "evaluate", lambda found, truths, *_, **__: (found, truths))
    dataset = Subset(open_dataset(str(tiny_shapes), "test"), 7)
    names = dataset.dataset.class_names

    def measure(communicator):
        model = build_minissd(len(names), 96, np.random.default_rng(0), width=2)
        detector = Detector(model, names)
        return evaluate_dataset(detector, dataset, progress=False, communicator=communicator)

    alone, (first, *others) = measure(ALONE), in_processes(3, measure)
    assert others == [None, None]
    for (found, truth), (expected, true) in zip(zip(*first), zip(*alone), strict=True):
        assert truth.image_id == true.image_id
        np.testing.assert_array_equal(truth.boxes, true.boxes)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-3)
