"""The first convolution and the normalisation of images belong together: changing one means changing the other."""

from __future__ import annotations

import numpy as np

from minissd.errors import InputError
from minissd.models.spec import DetectorSpec


def keep_normalisation(
    state: dict[str, np.ndarray], weight: str, theirs: DetectorSpec, ours: DetectorSpec
) -> None:
    """Change the first convolution so that it answers to images normalised our way as it did to theirs.

    Exact except along the border, where the padding stands for another colour: between ImageNet's mean and Caffe's by
    less than one of 255 levels, which a training that starts there does not notice.

    Args:
        state: Arrays by name; weights and biases of the convolution are replaced.
        weight: Name of its weights, (kh, kw, 3, K).
        theirs: The spec whose mean and deviation the weights were trained with.
        ours: The spec with those that will be used.

    Raises:
        InputError: The mean differs and the convolution has no biases to make up for it.
    """
    state[weight] = state[weight] * np.float32(ours.input_std / theirs.input_std)
    if ours.input_mean == theirs.input_mean:
        return
    bias = f"{weight.removesuffix('weight')}bias"
    if bias not in state:
        raise InputError(
            f"{ours.name}: its first layer has no biases, so it can only take over the mean"
        )
    # (x - theirs) / std = (x - ours) / std + (ours - theirs) / std
    shift = (np.asarray(ours.input_mean) - np.asarray(theirs.input_mean)) / ours.input_std
    state[bias] = (state[bias] + shift @ state[weight].sum(axis=(0, 1))).astype(np.float32)
