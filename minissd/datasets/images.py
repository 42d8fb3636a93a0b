"""Photographs as people have them, read into one form: RGB, 8 bits, upright.

A picture file is input from strangers: what cannot be read whole and safely is refused with a line that names it.
"""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from minissd.errors import InputError

# Beyond this a picture is refused before any of it is decoded. It lies just under Pillow's own limit.
MAX_PIXELS = 89_000_000

# Formats that are decoded inside Pillow; others (EPS, for one) would start further programs.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")


def read_image(path: str | PathLike[str], max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture, turned upright by its EXIF tag, as 8-bit RGB.

    Grayscale is repeated over the three channels, CMYK and palettes are converted, transparent parts are laid on
    white, 16-bit grayscale is scaled so that 65535 becomes 255. Of an animation the first picture is read.

    Args:
        path: A file in one of `FORMATS`.
        max_pixels: Width times height above which the file is refused, before it is decoded.

    Returns:
        Shape (H, W, 3), uint8, RGB.

    Raises:
        InputError: The file is missing, no picture, truncated, damaged or too large; the message names it.
    """
    return _read(Path(path), max_pixels)[0]


def read_oriented(
    path: str | PathLike[str], max_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, int]:
    """Read a picture as `read_image` does, and say which EXIF orientation was undone.

    Returns:
        The picture, shape (H, W, 3), uint8, and the orientation: 1 is upright, 3 is upside down, 5 to 8
        exchange width and height, 2 and 4 are mirrored.
    """
    return _read(Path(path), max_pixels)


def _read(path: Path, max_pixels: int) -> tuple[np.ndarray, int]:
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise InputError(
                    f"{path}: {width} x {height} pixels are over the limit of {max_pixels:,}; not decoded"
                )
            image.load()
            orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
            return _to_rgb(ImageOps.exif_transpose(image), path), orientation
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, expected a picture") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        count = re.search(r"\d{6,}", str(error))  # Pillow refuses before it tells the sides
        pixels = f"{int(count[0]):,}" if count else "its"
        raise InputError(
            f"{path}: {pixels} pixels are over the limit of {max_pixels:,}; not decoded"
        ) from error
    except UnidentifiedImageError:
        raise InputError(
            f"{path}: not a picture in a known format ({', '.join(FORMATS)})"
        ) from None
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        # Damaged files make the decoders raise nearly anything; whatever it is, this file is the reason.
        raise InputError(f"{path}: cannot be read as a picture: {error}") from error


def _to_rgb(image: Image.Image, path: Path) -> np.ndarray:
    if image.mode.startswith("I"):
        return _from_16_bit(image, path)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _from_16_bit(image: Image.Image, path: Path) -> np.ndarray:
    # Pillow's own conversion of these modes clips at 255 instead of scaling.
    gray = np.asarray(image).astype(np.int64)
    if gray.min() < 0 or gray.max() > 65535:
        raise InputError(
            f"{path}: gray values from {gray.min()} to {gray.max()}; expected 8 or 16 bits, 0 to 65535"
        )
    scaled = ((gray + 128) // 257).astype(np.uint8)
    return np.repeat(scaled[..., None], 3, axis=-1)
