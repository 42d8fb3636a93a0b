"""The gradient of a whole network and its loss, held against differences: what the tests of networks share."""

import numpy as np

from minissd.models.loss import make_targets, multibox_loss
from minissd.models.ssd import SSD


def batch(rng, model, n=2):
    """Return images of random numbers with five objects each, small to large."""
    boxes, labels = [], []
    for _ in range(n):
        size = np.array([0.1, 0.2, 0.35, 0.6, 0.9])[:, None] * rng.uniform(0.8, 1.1, (5, 2))
        corner = rng.uniform(0, 1, (5, 2)) * (1 - size)
        boxes.append(np.concatenate([corner, corner + size], axis=1))
        labels.append(rng.integers(1, model.spec.n_object_classes + 1, 5))
    size = model.spec.image_size
    return rng.standard_normal((n, size, size, 3)), boxes, labels


def check_network_gradient(model: SSD, rng: np.random.Generator, n_images: int = 2) -> None:
    """Check every parameter tensor through the MultiBox loss with the mined set held fixed, in float64.

    Two elements of each tensor are sampled. The mined set is chosen again at both ends of each step, to show that
    holding it fixed hides nothing.
    """
    model = model.astype(np.float64).train()
    for parameter in model.parameters().values():
        parameter.value += 0.1 * rng.standard_normal(parameter.value.shape)
    images, boxes, labels = batch(rng, model, n_images)
    targets = make_targets(model.default_centers().astype(np.float64), boxes, labels, model.spec)
    first = multibox_loss(*model.forward(images), targets)
    assert first.mined.sum() > 0
    model.zero_grad()
    model.backward(first.d_scores, first.d_offsets)
    moved = 0

    def loss_now() -> float:
        nonlocal moved
        predictions = model.forward(images)
        moved += int((multibox_loss(*predictions, targets).mined != first.mined).sum())
        return float(multibox_loss(*predictions, targets, mined=first.mined).loss)

    errors = {}
    for name, parameter in model.parameters().items():
        scale = np.abs(parameter.grad).max()
        assert scale > 0, f"{name} has no gradient"
        for i in rng.choice(parameter.value.size, min(2, parameter.value.size), replace=False):
            numeric = _slope(loss_now, parameter.value.reshape(-1), i)
            errors[name, int(i)] = abs(numeric - parameter.grad.reshape(-1)[i]) / scale
    assert moved == 0, "the mined set moved under the step"
    worst = max(errors, key=errors.get)
    assert errors[worst] < 1e-5, f"{worst}: relative error {errors[worst]:.1e}"


def _slope(loss_now, flat: np.ndarray, i: int, step: float = 1e-6) -> float:
    """Return the central difference of the loss by one number."""
    old = flat[i]
    flat[i] = old + step
    up = loss_now()
    flat[i] = old - step
    down = loss_now()
    flat[i] = old
    return (up - down) / (2 * step)
