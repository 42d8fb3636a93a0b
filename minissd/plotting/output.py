"""Writing figures and pictures to files, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from minissd.errors import InputError, check, check_shape
from minissd.files import write_atomically


def save_figure(figure: Figure, path: str | Path, dpi: float | None = None) -> Path:
    """Write a figure to a file; what stood there before stays until the new file is complete.

    Args:
        figure: What to write.
        path: The file; its ending (.png, .pdf, .svg, ...) says the format.
        dpi: Dots an inch; None for the figure's own.

    Returns:
        The path.

    Raises:
        InputError: The path is a folder or lies under a file, the ending is unknown, or it cannot be written.
    """
    path = Path(path)
    known = figure.canvas.get_supported_filetypes()
    kind = _ending(path, known)
    write_atomically(
        path, lambda temporary: figure.savefig(temporary, format=kind, dpi=dpi or "figure")
    )
    return path


def save_image(image: np.ndarray, path: str | Path) -> Path:
    """Write a picture to a file, as `save_figure` does.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        path: The file; its ending (.png, .jpg, ...) says the format.

    Returns:
        The path.

    Raises:
        InputError: As `save_figure`.
    """
    check_shape(image, ("H", "W", 3), "image")
    check(image.dtype == np.uint8, "image", "dtype uint8", str(image.dtype))
    path = Path(path)
    kinds = {
        ending[1:]: kind
        for ending, kind in Image.registered_extensions().items()
        if kind in Image.SAVE
    }
    kind = kinds[_ending(path, kinds)]
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    write_atomically(
        path, lambda temporary: Image.fromarray(image).save(temporary, format=kind, **options)
    )
    return path


def _ending(path: Path, known: dict) -> str:
    ending = path.suffix[1:].lower()
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder")
    if ending not in known:
        raise InputError(
            f"cannot write {path}: the ending must be one of {', '.join(sorted(known))}"
        )
    return ending
