"""Pictures with boxes in COCO's layout: one JSON file a split, and a folder of pictures.

Known places of the file, for split NAME: annotations/instances_NAME.json, annotations/NAME.json, instances_NAME.json,
and NAME/_annotations.coco.json, as COCO itself and labelling tools have them. A file that belongs to no split
(_annotations.coco.json or annotations.json beside the pictures, or a JSON file named instead of a folder) is split by
name, as a plain folder is.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from minissd.datasets.coco_json import CocoFile, CocoImage, read_instances, to_annotation
from minissd.datasets.picture_set import Contents, Entry, gather, lists_together
from minissd.datasets.split_by_name import choose
from minissd.errors import InputError

LOOKED_FOR = "annotations/instances_SPLIT.json, SPLIT/_annotations.coco.json or annotations.json, and pictures"
_ALONE = ("_annotations.coco.json", "annotations.json")
# COCO's own archives hold files for other tasks, too.
_OTHER_TASKS = ("captions_", "person_keypoints_", "image_info_", "panoptic_", "stuff_")


def is_coco(root: Path) -> bool:
    """Whether a folder holds COCO files; a file is taken for one, for no other layout is a single file."""
    if root.is_file():
        return True
    return bool(_files(root)) or _alone(root) is not None


def coco_contents(root: Path, split: str | None, lenient: bool = False) -> Contents:
    """Find the pictures of a split in COCO's layout.

    The names of the pictures are the ids of the file, as text.

    Args:
        root: The folder, or a JSON file.
        split: Name of the split; None for every file there is.
        lenient: Put off the error about a missing picture until it is asked for.

    Raises:
        InputError: There is no such split, or its file cannot be understood; the message names the entry.
    """
    if root.is_file() or not _files(root):
        path = root if root.is_file() else _alone(root)
        whole = _read(root, _folder_of(path), path, split, lenient)
        entries = choose(whole.entries, split, str(root))
        return Contents(str(root), split, entries, whole.class_names, (), whole.category_ids)
    files = _files(root)
    if split is None:
        return _together(root, [_read(root, root, p, s, lenient) for s, p in files.items()])
    if split not in files:
        raise InputError(f"{root}: no such split: {split}; there are: {', '.join(files)}")
    return _read(root, root, files[split], split, lenient)


def _files(root: Path) -> dict[str, Path]:
    """The annotation file of each split, sorted by split."""
    found: dict[str, Path] = {}
    folder = root / "annotations"
    for path in [*sorted(folder.glob("*.json")), *sorted(root.glob("instances_*.json"))]:
        if not path.name.startswith(_OTHER_TASKS):
            found.setdefault(path.stem.removeprefix("instances_"), path)
    for path in sorted(root.glob("*/_annotations.coco.json")):
        found.setdefault(path.parent.name, path)
    return dict(sorted(found.items()))


def _alone(root: Path) -> Path | None:
    return next((root / name for name in _ALONE if (root / name).is_file()), None)


def _folder_of(path: Path) -> Path:
    """The data set's folder, from a JSON file of it."""
    return path.parent.parent if path.parent.name == "annotations" else path.parent


def _read(name: Path, root: Path, path: Path, split: str | None, lenient: bool) -> Contents:
    file = read_instances(path)
    if not file.images:
        raise InputError(f"{path}: images is empty: it lists no picture")
    folder = _pictures(root, file)
    images = {str(image.id): image for image in file.images}
    if len(images) < len(file.images):
        raise InputError(f"{path}: ids of images must differ as text too (1 and '1' do not)")

    def locate(image_id: str) -> Entry:
        return _entry(folder, file, images[image_id])

    entries = gather(images, locate, lenient)
    return Contents(str(name), split, entries, file.class_names, (), file.category_ids)


def _pictures(root: Path, file: CocoFile) -> Path:
    """The folder in which the pictures lie: the first of the usual ones that has one of the first ten."""
    split = file.path.stem.removeprefix("instances_")
    usual = (root / split, root / "images" / split, root / "images", file.path.parent, root)
    for folder in usual:
        if any((folder / image.file_name).is_file() for image in file.images[:10]):
            return folder
    tried = ", ".join(str(folder) for folder in dict.fromkeys(usual))
    raise InputError(
        f"{file.path}: {file.images[0].file_name} and the pictures after it were looked for in vain in {tried}"
    )


def _entry(folder: Path, file: CocoFile, image: CocoImage) -> Entry:
    path = folder / image.file_name
    if not path.is_file():
        raise InputError(f"{path}: no such picture, but {file.path.name} names it (id {image.id})")
    return Entry(str(image.id), path, partial(to_annotation, file, image))


def _together(root: Path, parts: list[Contents]) -> Contents:
    """All splits of a folder: their files must declare the same categories."""
    first = parts[0]
    for part in parts[1:]:
        if (part.class_names, part.category_ids) != (first.class_names, first.category_ids):
            raise InputError(
                f"{root}: splits {first.split} and {part.split} declare different categories"
            )
    return lists_together(parts, None)
