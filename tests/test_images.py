from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from minissd.datasets.images import FORMATS, read_image, read_oriented
from minissd.errors import InputError
from minissd.plotting import save_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.fixture
def picture(rng: np.random.Generator) -> np.ndarray:
    """Return a smooth picture, 40 wide and 30 high, that JPEG hardly changes; no two corners are alike."""
    y, x = np.mgrid[0:30, 0:40] / 40
    return np.stack([255 * x, 255 * y, 255 * (1 - x)], axis=-1).astype(np.uint8)


def _png(width: int, height: int) -> bytes:
    """Return a PNG whose header claims a size that nothing stands behind."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b"")


def _one_line(error: pytest.ExceptionInfo[InputError], path: Path) -> str:
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_channels_come_as_red_green_blue(tmp_path: Path) -> None:
    image = np.array([[RED, GREEN, BLUE, WHITE]], np.uint8)
    save_image(image, tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert read.dtype == np.uint8
    assert read.flags.writeable
    np.testing.assert_array_equal(read, image)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".gif", ".tif", ".webp", ".ppm"])
def test_every_format(tmp_path: Path, picture: np.ndarray, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    save_image(picture, path)
    with Image.open(path) as image:
        assert image.format in FORMATS
    assert np.abs(read_image(path).astype(int) - picture).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path: Path, picture: np.ndarray, orientation: int) -> None:
    # What the tag says by definition: which side of the upright picture the first row and first column are.
    stored = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.transpose(1, 0, 2),
        6: picture.transpose(1, 0, 2)[::-1],
        7: picture.transpose(1, 0, 2)[::-1, ::-1],
        8: picture.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    upright, told = read_oriented(path)
    np.testing.assert_array_equal(upright, picture)
    assert told == orientation


def test_grayscale_is_repeated(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture[..., 0]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.png"), np.repeat(picture[..., :1], 3, axis=-1)
    )


def test_one_bit(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), [[WHITE, (0, 0, 0)]])


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    values = np.array([[0, 257, 128, 129, 32768, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values).save(tmp_path / "a.tif")
    for name in ("a.png", "a.tif"):
        read = read_image(tmp_path / name)
        np.testing.assert_array_equal(read[0, :, 0], [0, 1, 0, 1, 128, 255])
        np.testing.assert_array_equal(read[..., 0], read[..., 2])


def test_gray_of_more_than_sixteen_bits_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(np.array([[0, 70000]], np.int32)).save(path)
    with pytest.raises(InputError, match="gray values from 0 to 70000") as error:
        read_image(path)
    _one_line(error, path)


def test_cmyk(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    read = read_image(tmp_path / "a.jpg")
    assert np.abs(read.astype(int) - picture).mean() < 8


def test_transparent_parts_are_laid_on_white(tmp_path: Path) -> None:
    image = np.array([[(*RED, 255), (*RED, 0), (*RED, 128)]], np.uint8)
    Image.fromarray(image).save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "rgba.png"), [[RED, WHITE, (255, 127, 127)]]
    )
    clear = Image.fromarray(np.array([[255, 0]], np.uint8))
    gray = Image.merge("LA", [Image.new("L", (2, 1)), clear])
    gray.save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_image(tmp_path / "la.png"), [[(0, 0, 0), WHITE]])


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    palette = Image.new("P", (3, 1))
    palette.putpalette([*RED, *GREEN, *BLUE])
    palette.putdata([0, 1, 2])
    palette.save(tmp_path / "plain.png")
    palette.save(tmp_path / "clear.png", transparency=1)
    np.testing.assert_array_equal(read_image(tmp_path / "plain.png"), [[RED, GREEN, BLUE]])
    np.testing.assert_array_equal(read_image(tmp_path / "clear.png"), [[RED, WHITE, BLUE]])


def test_one_pixel(tmp_path: Path) -> None:
    save_image(np.array([[BLUE]], np.uint8), tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), [[BLUE]])


@pytest.mark.parametrize(
    ("ending", "missing"),
    [(".jpg", 2), (".jpg", 20), (".jpg", 5000), (".png", 200), (".png", 5000)],
)
def test_truncated_file_is_refused(
    tmp_path: Path, rng: np.random.Generator, ending: str, missing: int
) -> None:
    path = tmp_path / f"a{ending}"
    save_image(rng.integers(0, 256, (60, 80, 3), np.uint8), path)
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(InputError, match="truncated") as error:
        read_image(path)
    _one_line(error, path)


def test_text_named_as_a_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_text("this is no picture")
    with pytest.raises(InputError, match="not a picture in a known format") as error:
        read_image(path)
    _one_line(error, path)


def test_formats_that_start_other_programs_are_not_tried(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    with pytest.raises(InputError, match="not a picture in a known format"):
        read_image(path)


@pytest.mark.parametrize("side", [40_000, 9_434])
def test_huge_picture_is_refused_undecoded(tmp_path: Path, side: int) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(_png(side, side))
    with pytest.raises(InputError, match="over the limit of 89,000,000") as error:
        read_image(path)
    assert "1,600,000,000" in _one_line(error, path) or side != 40_000


def test_limit_of_pixels_can_be_set(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "a.png"
    save_image(picture, path)
    assert read_image(path, max_pixels=40 * 30).shape == (30, 40, 3)
    with pytest.raises(InputError, match="40 x 30 pixels are over the limit of 1,199"):
        read_image(path, max_pixels=40 * 30 - 1)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)


def test_damaged_bytes_never_escape_as_another_error(
    tmp_path: Path, rng: np.random.Generator, picture: np.ndarray
) -> None:
    n_refused = 0
    for ending in (".png", ".tif", ".gif", ".bmp", ".webp", ".jpg"):
        path = tmp_path / f"a{ending}"
        save_image(picture, path)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(25):
            damaged = whole.copy()
            damaged[rng.integers(0, len(whole), 6)] = rng.integers(0, 256, 6)
            path.write_bytes(damaged.tobytes())
            with contextlib.suppress(InputError):  # any other error fails the test
                assert read_image(path).ndim == 3
                n_refused -= 1
            n_refused += 1
    assert n_refused > 20


def test_reads_as_pillow_does_on_photographs(voc_root: Path) -> None:
    for path in sorted((voc_root / "JPEGImages").glob("*.jpg"))[:20]:
        with Image.open(path) as image:
            want = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        np.testing.assert_array_equal(read_image(path), want)
