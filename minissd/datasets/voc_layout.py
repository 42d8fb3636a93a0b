"""Where things lie in PASCAL VOC's layout: its folders, its lists of pictures, and the two files of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minissd.errors import InputError

# Of two pictures with the same name the ending further to the left is taken.
IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm",
)  # fmt: skip

_FOLDERS = ("JPEGImages", "Annotations", "ImageSets/Main")


def list_splits(root: Path) -> list[str]:
    """Names of the lists in ImageSets/Main, sorted."""
    return sorted(path.stem for path in (root / "ImageSets" / "Main").glob("*.txt"))


def check_layout(root: Path, folders: Sequence[str] = _FOLDERS) -> None:
    """Raise an `InputError` that says what was expected unless a folder is in VOC's layout."""
    if not root.is_dir():
        raise InputError(f"{root}: " + ("not a folder" if root.exists() else "no such folder"))
    missing = [name for name in folders if not (root / name).is_dir()]
    if not missing:
        return
    raise InputError(
        f"{root}: not in VOC layout: expected the folders {', '.join(folders)};"
        f" missing: {', '.join(missing)}{inner_hint(root)}"
    )


def is_voc(root: Path) -> bool:
    """Whether a folder is in VOC layout, with lists of pictures."""
    return all((root / name).is_dir() for name in _FOLDERS)


def inner_hint(root: Path) -> str:
    """Words for a message that name a VOC folder further inside, where there is one."""
    inner = [path for path in (*root.glob("VOC*"), *root.glob("*/VOC*")) if is_voc(path)]
    return f"; did you mean {sorted(inner)[0]}?" if inner else ""


def read_split(root: Path, split: str | None) -> list[str]:
    """Read which pictures a split lists.

    A list of one class (dog_trainval.txt) has a second column: 1 has the class, -1 has not, 0 only difficult ones.
    It describes the pictures and excludes none: all of them belong to the split, as in VOC's own programs.

    Args:
        root: The folder in VOC layout.
        split: Name of a list; None for every annotation in the folder, sorted; ImageSets/Main may then be absent.

    Raises:
        InputError: No such layout or split, an empty list, or a line that cannot be understood.
    """
    if split is None:
        check_layout(root, _FOLDERS[:2])
        ids = sorted(path.stem for path in (root / "Annotations").glob("*.xml"))
        if not ids:
            raise InputError(f"{root / 'Annotations'}: no annotation files (*.xml)")
        return ids
    check_layout(root)
    path = root / "ImageSets" / "Main" / f"{split}.txt"
    if split not in list_splits(root):
        splits = ", ".join(_short_list(list_splits(root))) or "none at all"
        raise InputError(f"{path}: no such split; there are: {splits}")
    return read_list(path)


def _short_list(splits: list[str], most: int = 12) -> list[str]:
    """The splits to name in a message: without the lists of single classes, which VOC has by the dozen."""
    whole = [name for name in splits if "_" not in name or name.rsplit("_", 1)[1] not in splits]
    return whole[:most] + (["..."] if len(whole) > most else [])


def read_list(path: Path, any_number: bool = False) -> list[str]:
    """Read a list of pictures: a name a line, and perhaps a number after it.

    Args:
        path: The text file.
        any_number: The number may be any (ILSVRC counts its lines); otherwise 1, 0 or -1.

    Raises:
        InputError: The list is empty, or a line cannot be understood.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of pictures: {error}") from error
    ids: dict[str, int] = {}  # to the line each stands on
    for number, line in enumerate(text.splitlines(), start=1):
        columns = line.split()
        if not columns:
            continue
        image_id, flags = columns[0], columns[1:]
        if len(flags) > 1 or not all(_is_flag(flag, any_number) for flag in flags):
            numbers = "a number" if any_number else "1, 0 or -1"
            raise InputError(
                f"{path}: line {number}: expected a name without spaces and perhaps {numbers},"
                f" got {line.strip()!r}"
            )
        if ".." in Path(image_id).parts or Path(image_id).is_absolute():
            raise InputError(f"{path}: line {number}: {image_id!r} leads out of the folder")
        if image_id in ids:
            raise InputError(
                f"{path}: line {number}: picture {image_id} stands on line {ids[image_id]} already"
            )
        ids[image_id] = number
    if not ids:
        raise InputError(f"{path}: empty image set: it lists no picture")
    return list(ids)


def _is_flag(text: str, any_number: bool) -> bool:
    return text.removeprefix("-").isdigit() if any_number else text in ("1", "0", "-1")


def find_image(root: Path, image_id: str) -> Path | None:
    """Return the file of a picture, whatever its ending, or None."""
    for ending in IMAGE_ENDINGS:
        path = root / "JPEGImages" / (image_id + ending)
        if path.is_file():
            return path
    return None


def find_annotation(root: Path, image_id: str) -> Path | None:
    """Return the annotation file of a picture, or None."""
    path = root / "Annotations" / f"{image_id}.xml"
    return path if path.is_file() else None


def find_files(root: Path, image_id: str, split: str | None) -> tuple[Path, Path]:
    """Return the picture and the annotation file of a picture that a split names.

    Raises:
        InputError: One of them is missing; the message names it.
    """
    image, annotation = find_image(root, image_id), find_annotation(root, image_id)
    listed = "Annotations" if split is None else f"split {split}"
    hint = " (a list gives names without their ending)" if image_id.endswith(IMAGE_ENDINGS) else ""
    if image is None:
        path = root / "JPEGImages" / f"{image_id}.jpg"
        raise InputError(f"{path}: no such picture, but {listed} names it{hint}")
    if annotation is None:
        path = root / "Annotations" / f"{image_id}.xml"
        raise InputError(f"{path}: no such annotation, but {listed} names it{hint}")
    return image, annotation
