"""The kernels of the losses and the mining are their array code: values, gradients, the mined set, ties and NaN."""

import numpy as np
import oracles
import pytest

from minissd.backend import to_cpu
from minissd.boxes import mine_hard_negatives, mining
from minissd.cuda import use_kernels
from minissd.models import device_loss
from minissd.models.loss import Targets, multibox_loss
from minissd.nn.gradcheck import check_function
from minissd.nn.gradcheck_cases import cross_entropy_function, softmax_function
from minissd.nn.losses import smooth_l1, softmax, softmax_cross_entropy

CLASSES = (1, 2, 3, 7, 21, 81)
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def same(got, expected, tolerance):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(to_cpu(a), b, rtol=tolerance, atol=tolerance)
        assert a.dtype == b.dtype


@DTYPES
@pytest.mark.parametrize("classes", CLASSES)
def test_softmax_and_cross_entropy_equal_their_array_code(classes, dtype, device, rng):
    logits = (5 * rng.standard_normal((13, classes))).astype(dtype)
    labels = rng.integers(0, classes, 13)
    x, y = device.asarray(logits), device.asarray(labels)
    same([softmax(x)], [softmax(logits)], TOLERANCE[dtype])
    same(softmax_cross_entropy(x, y), softmax_cross_entropy(logits, labels), TOLERANCE[dtype])
    assert (to_cpu(x) == logits).all()


@DTYPES
def test_huge_logits_and_those_that_are_no_numbers(dtype, device, rng):
    logits = np.zeros((8, 40), dtype)
    logits[0, 35], logits[1, 2], logits[2] = 1e4, -1e4, -1e4
    logits[3, 3], logits[4, 4], logits[5, 39] = np.inf, -np.inf, np.nan
    logits[6] = -np.inf
    labels = np.array([1, 2, 2, 3, 4, 0, 0, 39])
    expected = softmax_cross_entropy(logits[:3], labels[:3])
    assert all(np.isfinite(each).all() for each in expected)
    with np.errstate(all="ignore"):
        expected = softmax_cross_entropy(logits, labels)
    same(
        softmax_cross_entropy(device.asarray(logits), device.asarray(labels)),
        expected,
        TOLERANCE[dtype],
    )


@DTYPES
@pytest.mark.parametrize("beta", [1.0, 0.11])
def test_smooth_l1_equals_its_array_code(beta, dtype, device, rng):
    prediction, target = rng.standard_normal((2, 7, 3)).astype(dtype)
    prediction.flat[:5] = np.nan, np.inf, -np.inf, 1e30, target.flat[4]
    got = smooth_l1(device.asarray(prediction), device.asarray(target), beta)
    with np.errstate(all="ignore"):
        same(got, smooth_l1(prediction, target, beta), TOLERANCE[dtype])


def test_gradients_of_the_kernels_are_right(device, rng):
    logits = device.asarray(rng.standard_normal((5, 4)))
    entropy = cross_entropy_function(device.asarray(np.array([0, 3, 1, 3, 2])))
    for name, function in {"softmax": softmax_function, "cross-entropy": entropy}.items():
        report = check_function(function, {"logits": logits}, rng, name)
        assert report.passed, report.describe()


@DTYPES
@pytest.mark.parametrize(
    "boxes", [1, 31, 40, 256, 700, 1100]
)  # less and more than a block has threads
@pytest.mark.parametrize("ratio, least", [(3.0, 0), (0.5, 0), (0.0, 2), (2.7, 4), (100.0, 0)])
def test_mining_chooses_the_same_boxes_as_the_loop(ratio, least, boxes, dtype, device, rng):
    losses = rng.exponential(size=(3, boxes)).astype(dtype)
    losses[:, ::3] = 0.5  # ties
    losses[:, ::7] *= -1
    positives = rng.random((3, boxes)) < np.array([0, 0.1, 0.7])[:, None]
    candidates = rng.random((3, boxes)) < 0.6
    given = device.asarray(losses), device.asarray(positives)
    for allowed in (None, candidates):
        on_device = None if allowed is None else device.asarray(allowed)
        got = mine_hard_negatives(*given, ratio, least, on_device)
        expected = oracles.mine_hard_negatives(losses, positives, ratio, least, allowed)
        np.testing.assert_array_equal(to_cpu(got), expected)


@DTYPES
def test_mining_with_losses_that_are_no_numbers_equals_its_array_code(dtype, device, rng):
    losses = rng.integers(-2, 3, (40, 50)).astype(dtype)
    kinds = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, np.finfo(dtype).tiny / 4], dtype)
    special = rng.random(losses.shape) < rng.random((40, 1)) / 2
    losses[special] = rng.choice(kinds, special.sum())
    positives = rng.random(losses.shape) < 0.1
    got = mine_hard_negatives(device.asarray(losses), device.asarray(positives), 2.0, 1)
    expected = mine_hard_negatives(losses, positives, 2.0, 1)
    np.testing.assert_array_equal(to_cpu(got), expected)
    assert 40 < expected.sum() < 400


def test_mining_by_its_kernel_is_what_was_tested(device, monkeypatch):
    """All equal: the first ones are mined, by the kernel and not by the array code."""
    monkeypatch.setattr(mining, "_largest", None)
    positives = device.asarray(np.eye(1, 600, dtype=bool))
    mined = to_cpu(mine_hard_negatives(device.ones((1, 600)), positives, 300.0))
    np.testing.assert_array_equal(np.flatnonzero(mined), np.arange(1, 301))


def problem(rng, classes, dtype, share=0.1, n=3, k=37):
    labels = np.where(rng.random((n, k)) < share, rng.integers(1, classes + 1, (n, k)), 0)
    wanted = (rng.standard_normal((n, k, 4)) * (labels > 0)[..., None]).astype(dtype)
    scores = (3 * rng.standard_normal((n, k, classes + 1))).astype(dtype)
    scores[:, ::5] = scores[:, :1]  # ties
    offsets = (2 * rng.standard_normal((n, k, 4))).astype(dtype)
    return scores, offsets, Targets(labels.astype(np.int64), wanted, rng.random((n, k)) < 0.8)


def on(device, targets):
    return Targets(*(None if each is None else device.asarray(each) for each in targets))


@DTYPES
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("classes", [1, 3, 20, 80])
def test_the_multibox_loss_equals_its_array_code(classes, share, dtype, device, rng):
    scores, offsets, targets = problem(rng, classes, dtype, share)
    for given in (targets, targets._replace(candidates=None)):
        expected = multibox_loss(scores, offsets, given, 3.0, 2)
        got = multibox_loss(
            device.asarray(scores), device.asarray(offsets), on(device, given), 3.0, 2
        )
        np.testing.assert_array_equal(to_cpu(got.mined), expected.mined)
        same(got, expected, 10 * TOLERANCE[dtype])
        assert got.loss.shape == got.n_positives.shape == ()


def test_a_given_count_and_a_given_set_are_taken(device, rng):
    scores, offsets, targets = problem(rng, 3, "float64")
    mined = rng.random(targets.labels.shape) < 0.5
    expected = multibox_loss(scores, offsets, targets, mined=mined, n_positives=np.array(77))
    got = multibox_loss(
        device.asarray(scores),
        device.asarray(offsets),
        on(device, targets),
        mined=device.asarray(mined),
        n_positives=device.asarray(77),
    )
    same(got, expected, 1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["scores", "offsets"])
def test_predictions_that_are_no_numbers_show_in_the_same_places(where, value, device, rng):
    scores, offsets, targets = problem(rng, 3, "float64")
    {"scores": scores, "offsets": offsets}[where][1, 4:7, 2] = value
    with np.errstate(all="ignore"):
        expected = multibox_loss(scores, offsets, targets)
    got = multibox_loss(device.asarray(scores), device.asarray(offsets), on(device, targets))
    same(got, expected, 1e-12)
    harmless = where == "scores" and value < 0  # a probability of 0
    assert np.isfinite(expected.loss) == harmless


def test_parts_of_many_blocks_add_up(device, rng, monkeypatch):
    scores, offsets, targets = problem(rng, 3, "float64", n=2, k=60)
    expected = multibox_loss(scores, offsets, targets)
    for most in (1, 3, 1024):
        monkeypatch.setattr(device_loss, "MOST_PARTS", most)
        got = multibox_loss(device.asarray(scores), device.asarray(offsets), on(device, targets))
        same(got, expected, 1e-12)


def test_the_loss_of_a_step_sends_and_reads_nothing_in_four_launches(
    device, counted, rng, monkeypatch
):
    scores, offsets, targets = problem(rng, 20, "float32")
    rows = device.asarray(np.concatenate([scores, offsets], axis=-1))
    targets = on(device, targets)
    launches = []
    for owner in (device_loss.KERNELS, mining.KERNELS):
        compiled = owner.of(rows)
        launch = compiled.launch
        monkeypatch.setattr(
            compiled, "launch", lambda name, *a, f=launch: (launches.append(name), f(name, *a))
        )
    counted.reset()
    result = multibox_loss(rows[..., :21], rows[..., 21:], targets)
    assert (counted.to_device, counted.to_host, counted.syncs) == (0, 0, 0)
    assert launches == ["box_losses", "mine", "box_gradients", "loss_sums"]
    with use_kernels(False):
        again = multibox_loss(rows[..., :21], rows[..., 21:], targets)
    same(result, [to_cpu(each) for each in again], 2e-5)
