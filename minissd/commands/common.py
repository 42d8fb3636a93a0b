"""What several commands share: lists of classes, the device option, opening a trained network."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np

from minissd.backend import DEVICES, resolve_device
from minissd.models.detector import Detector
from minissd.models.model_file import is_model, load_model
from minissd.products import use_tf32
from minissd.training.checkpoint import Checkpoint, find_checkpoint, fit_state, load_checkpoint


def class_list(text: str) -> tuple[str, ...]:
    """Turn "cat,dog" or the name of a text file with one class a line into class names."""
    try:
        words = Path(text).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise argparse.ArgumentTypeError(f"{text}: not a text file ({error})") from error
    except (OSError, ValueError):  # no such file, or too long a name for one
        words = text.split(",")
    names = tuple(word.strip() for word in words if word.strip())
    if not names:
        raise argparse.ArgumentTypeError(f"no class names in {text!r}")
    if len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f"a class name stands twice in {text!r}")
    return names


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add `--device auto | cpu | gpu`, and `--tf32`, see `arithmetic`."""
    parser.add_argument(
        "--device", choices=DEVICES, default="auto", help="where to compute; auto: GPU if present"
    )
    parser.add_argument(
        "--tf32",
        action="store_true",
        help="on a GPU: round the operands of matrix products to 10 bits, which its tensor cores multiply faster",
    )


def arithmetic(args: argparse.Namespace) -> AbstractContextManager:
    """Return the context in which products on the current GPU are computed: `--tf32` where it was given."""
    return use_tf32(resolve_device(args.device)) if args.tf32 else nullcontext()


def add_half(parser: argparse.ArgumentParser) -> None:
    """Add `--half`."""
    parser.add_argument(
        "--half", action="store_true", help="on a GPU: detect in half precision (float16)"
    )


def open_detector(
    weights: str | Path, device: str = "auto", half: bool = False
) -> tuple[Detector, Checkpoint | None]:
    """Load a trained network.

    Args:
        weights: A checkpoint file, a run folder, or a model that `convert` wrote.
        device: auto, cpu or gpu.
        half: Compute in float16, on a GPU.

    Returns:
        The detector, and the checkpoint it comes from; None where it comes from a model.

    Raises:
        InputError: The file is missing or damaged, or holds another model's weights.
        DeviceError: The device is not there, or cannot compute in half precision.
    """
    path = find_checkpoint(weights)
    if is_model(path):
        model, class_names = load_model(path)
        model.to(resolve_device(device)).eval()
        return Detector(model, class_names, half), None
    checkpoint = load_checkpoint(path)
    model = checkpoint.config.build(len(checkpoint.class_names), np.random.default_rng(0))
    fit_state(model, checkpoint.model, path)
    model.to(resolve_device(device)).eval()
    return Detector(model, checkpoint.class_names, half), checkpoint
