from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from coco_files import box, coco, image, write_coco
from hypothesis import given, settings
from hypothesis import strategies as st

from minissd.datasets.augment import Augment, Resize
from minissd.datasets.coco_json import CocoFile, CocoImage, read_instances, to_annotation
from minissd.datasets.opening import open_dataset
from minissd.datasets.report import check_dataset
from minissd.errors import InputError


def _one(*annotations: dict, **options: object) -> dict:
    return coco([image(7)], list(annotations), **options)


def test_sample(tmp_path: Path) -> None:
    content = coco(
        [image(9), image(4)],
        [box(1, 4, 3, (0, 0, 100, 80)), box(2, 9, 1), box(3, 4, 1, (1.5, 2.25, 10.5, 3.25))],
        {18: "dog", 3: "car", 1: "person"},
    )
    data = open_dataset(write_coco(tmp_path, {"train2017": content}), "train2017")
    assert data.class_names == ("person", "car", "dog")  # by number; the dog never occurs
    assert data.contents.category_ids == (1, 3, 18)
    assert data.image_ids == ("9", "4")  # in the order of the file
    sample = data[1]
    assert sample.image_id == "4"
    assert sample.labels.tolist() == [2, 1]
    assert sample.boxes.dtype == np.float32
    want = [[0, 0, 1, 1], [0.015, 2.25 / 80, 0.12, 5.5 / 80]]
    np.testing.assert_allclose(sample.boxes, want, rtol=1e-6)  # no pixel is added
    assert sample.crowd is None
    assert sample.area is None


def test_ninety_numbers_become_eighty_labels(tmp_path: Path) -> None:
    """COCO's numbers go up to 90 and leave out ten: labels follow their order without gaps."""
    missing = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    numbers = [n for n in range(1, 91) if n not in missing]
    content = coco([image(1)], [box(1, 1, 90), box(2, 1, 13)], {n: f"c{n}" for n in numbers[::-1]})
    data = open_dataset(write_coco(tmp_path, {"val2017": content}), "val2017")
    assert data.n_object_classes == 80
    assert data.class_names[0] == "c1"
    assert data[0].labels.tolist() == [80, 12]
    for label, number in ((11, 11), (12, 13), (80, 90)):
        assert data.contents.category_ids[label - 1] == number


def test_crowds_are_not_trained_on_and_are_ignored_in_evaluation(tmp_path: Path) -> None:
    content = _one(box(1, 7, area=10), box(2, 7, 3, iscrowd=1, area=99.5), box(3, 7))
    root = write_coco(tmp_path, {"val": content})
    training = open_dataset(root, "val")
    assert training[0].labels.tolist() == [1, 1]
    assert not training[0].difficult.any()
    evaluation = open_dataset(root, "val", crowds=True)
    sample = evaluation[0]
    assert sample.labels.tolist() == [1, 2, 1]
    assert sample.crowd.tolist() == sample.difficult.tolist() == [False, True, False]
    assert sample.area.tolist() == [10, 99.5, 1234.5]
    assert sample.area.dtype == np.float64
    kept = sample.select(np.array([1, 2]))
    assert (kept.crowd.tolist(), kept.area.tolist()) == ([True, False], [99.5, 1234.5])
    cars = open_dataset(root, "val", ["car"], crowds=True)[0]
    assert (cars.crowd.tolist(), cars.area.tolist()) == ([True], [99.5])
    with pytest.raises(InputError, match="no picture of split val has an object of car"):
        open_dataset(root, "val", ["car"], keep_empty=False)  # the crowd alone is none


def test_pictures_without_annotation_are_kept(tmp_path: Path) -> None:
    content = coco([image(1), image(2)], [box(1, 2)])
    root = write_coco(tmp_path, {"val": content})
    assert open_dataset(root, "val")[0].boxes.shape == (0, 4)
    assert open_dataset(root, "val", keep_empty=False).image_ids == ("2",)


def test_missing_iscrowd_and_area(tmp_path: Path) -> None:
    entry = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 20, 5, 4]}
    data = open_dataset(write_coco(tmp_path, {"val": _one(entry)}), "val", crowds=True)
    assert data[0].area.tolist() == [20]
    assert data[0].crowd.tolist() == [False]


REPAIRS = {
    "no width": ((10, 20, 0, 5), None, "box [10, 20, 0, 5] has no area: left out"),
    "negative": ((10, 20, -3, 5), None, "box [10, 20, -3, 5] has no area: left out"),
    "thin": ((50, 20, 1e-7, 5), None, "is too thin to have an area in float32: left out"),
    "outside": ((200, 20, 3, 5), None, "box [200, 20, 3, 5] lies outside the 100 x 80 picture"),
    "over the border": ((90, 70, 20, 20), (0.9, 0.875, 1, 1), "leaves the 100 x 80 picture: clipp"),
    "rounding": ((90, 70, 10.01, 10), (0.9, 0.875, 1, 1), None),
}


@pytest.mark.parametrize("name", REPAIRS)
def test_degenerate_boxes_are_told(tmp_path: Path, name: str) -> None:
    bbox, kept, told = REPAIRS[name]
    root = write_coco(tmp_path, {"val": _one(box(31, 7, 3, bbox), box(32, 7))})
    annotation = open_dataset(root, "val").annotation(0)
    assert annotation.names == (("person",) if kept is None else ("car", "person"))
    if kept is not None:
        np.testing.assert_allclose(annotation.boxes[0], kept, rtol=1e-6)
    if told is None:
        assert annotation.repairs == ()
    else:
        assert annotation.repairs[0].startswith("image 7, annotation 31 (car): ")
        assert told in annotation.repairs[0]
    report = check_dataset(root, "val")
    assert report.is_sound
    assert len(report.repairs) == (told is not None)


# Faults: (the file's content, what is told after the file's name)
FAULTS = {
    "list": ([], "not a COCO annotation file: expected the lists images, annotations and categ"),
    "captions": ({"images": [], "annotations": []}, "categories is missing"),
    "annotations as dict": ({**_one(), "annotations": {}}, "annotations is missing"),
    "no images": (coco([], []), "images is empty: it lists no picture"),
    "no categories": (_one(categories={}), "categories is empty"),
    "image twice": (coco([image(7), image(7)], []), "two images have the id 7"),
    "unknown image": (_one(box(31, 8)), "annotation 31: image_id must name an image, got 8"),
    "image list": (_one(box(31, [7])), "annotation 31: image_id must name an image, got [7]"),
    "true is no image": (coco([image(1)], [box(3, True)]), "image_id must name an image, got True"),
    "unknown category": (_one(box(31, 7, 2)), "annotation 31: category_id must name a category, g"),
    "no id": (
        _one({"image_id": 7}),
        "annotation without id (number 1): category_id must name a category, got None",
    ),
    "annotation as text": (_one("x"), "annotation without id (number 1): must be an object with"),
    "same name": (
        _one(categories={1: "a", 2: "a"}),
        "category 2: each name may stand once, got 'a'",
    ),
    "escape": (coco([image(7, "../a.jpg")], []), "image 7: file_name must stay in the folder of"),
    "absolute": (coco([image(7, "/a.jpg")], []), "image 7: file_name must stay in the folder of"),
    "windows": (coco([image(7, "..\\a.jpg")], []), "image 7: file_name must stay in the folder"),
    "drive": (coco([image(7, "C:a.jpg")], []), "image 7: file_name must stay in the folder of"),
    "no size": (coco([image(7, width=None)], []), "image 7: width must be whole pixels from 1 on"),
    "half pixel": (coco([image(7, height=80.5)], []), "image 7: height must be whole pixels from"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_name_file_and_entry(tmp_path: Path, name: str) -> None:
    content, fault = FAULTS[name]
    path = tmp_path / "annotations" / "instances_val.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        open_dataset(tmp_path, "val")
    assert str(error.value).startswith(f"{path}: ")
    assert fault in str(error.value)


BAD_ENTRIES = {
    "three numbers": (
        {"bbox": [1, 2, 3]},
        "bbox must be four numbers: x, y, width, height, got [1",
    ),
    "none": ({"bbox": None}, "bbox must be four numbers: x, y, width, height, got None"),
    "text": ({"bbox": [1, 2, 3, "4"]}, "bbox must be four numbers"),
    "nan": ({"bbox": [1, 2, 3, float("nan")]}, "bbox must be four numbers"),
    "huge": ({"bbox": [1, 2, 3, 10**400]}, "bbox must be four numbers"),
    "crowd": ({"iscrowd": 2}, "iscrowd must be 0 or 1, got 2"),
    "area": ({"area": "big"}, "area must be a number, got 'big'"),
}


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_bad_boxes_are_found_before_training(tmp_path: Path, name: str) -> None:
    changes, fault = BAD_ENTRIES[name]
    root = write_coco(tmp_path, {"val": _one({**box(31, 7), **changes})})
    with pytest.raises(InputError) as error:
        open_dataset(root, "val").annotations()
    file = root / "annotations" / "instances_val.json"
    assert str(error.value).startswith(f"{file}: annotation 31: {fault}")


@pytest.mark.parametrize("text", ["{", "[1, 2", "\x00", "[" * 100_000])
def test_no_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "annotations.json").write_text(text)
    with pytest.raises(InputError, match=r"annotations\.json: not a JSON file"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("place", ["val", "images/val", "images", "annotations", "."])
def test_places_of_the_pictures(tmp_path: Path, place: str) -> None:
    root = write_coco(tmp_path, {"val": _one(box(1, 7))})
    name = f"{7:012d}.jpg"
    (root / place).mkdir(parents=True, exist_ok=True)
    (root / "val" / name).rename(root / place / name)
    assert open_dataset(root, "val").image_path(0) == root / place / name


def test_missing_pictures(tmp_path: Path) -> None:
    content = coco([image(1), image(2)], [box(1, 2)])
    root = write_coco(tmp_path, {"val": content})
    (root / "val" / f"{2:012d}.jpg").unlink()
    with pytest.raises(InputError, match=r"2\.jpg: no such picture, but instances_val\.json names"):
        open_dataset(root, "val")
    report = check_dataset(root, "val")
    assert len(report.problems) == 1
    (root / "val" / f"{1:012d}.jpg").unlink()
    with pytest.raises(InputError, match=r"looked for in vain in .*/val, .*/images/val, .*/images"):
        open_dataset(root, "val")


def test_splits(tmp_path: Path) -> None:
    content = _one(box(1, 7))
    root = write_coco(tmp_path, {"val2017": content, "train2017": content})
    (root / "annotations" / "captions_val2017.json").write_text("{}")
    with pytest.raises(InputError, match=r"no such split: test; there are: train2017, val2017$"):
        open_dataset(root, "test")
    everything = open_dataset(root, None)
    assert everything.image_ids == ("train2017/7", "val2017/7")  # two files, each with a 7
    exported = tmp_path / "exported"
    for split in ("train", "valid"):
        (exported / split).mkdir(parents=True)
        (exported / split / "_annotations.coco.json").write_text(json.dumps(content))
        picture = (root / "val2017" / f"{7:012d}.jpg").read_bytes()
        (exported / split / f"{7:012d}.jpg").write_bytes(picture)
    both = open_dataset(exported, "train+valid")
    assert both.image_ids == ("train/7", "valid/7")
    assert [both.image_path(i).parent.name for i in (0, 1)] == ["train", "valid"]


def test_a_file_of_its_own_is_split_by_name(tmp_path: Path) -> None:
    content = coco([image(i) for i in range(10)], [box(i, i) for i in range(10)])
    root = write_coco(tmp_path, {"all": content})
    file = root / "annotations" / "instances_all.json"
    train, val = (open_dataset(file, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (8, 2)
    assert sorted([*train.image_ids, *val.image_ids]) == sorted(map(str, range(10)))
    assert len(open_dataset(file)) == 10
    with pytest.raises(InputError, match="there is no test"):
        open_dataset(file, "test")


def test_many_threads_read_the_same(tmp_path: Path) -> None:
    content = coco(
        [image(i) for i in range(12)],
        [box(10 * i + k, i, bbox=(1, 1, 10 + i, 9)) for i in range(12) for k in range(i % 3)],
    )
    data = open_dataset(write_coco(tmp_path, {"val": content}), "val")
    with ThreadPoolExecutor(8) as pool:
        samples = list(pool.map(data.__getitem__, list(range(12)) * 4))
    for k, sample in enumerate(samples):
        assert sample.image_id == f"{k % 12}"
        assert len(sample.boxes) == (k % 12) % 3


sides = st.integers(1, 2000)
numbers = st.floats(-3000, 3000, allow_nan=False)


@settings(deadline=None, max_examples=200)
@given(st.tuples(numbers, numbers, numbers, numbers), sides, sides)
def test_every_box_is_clipped_or_left_out_and_told(
    bbox: tuple[float, ...], width: int, height: int
) -> None:
    """Against the definition: what is kept is the common part of box and picture."""
    picture = CocoImage(7, "a.jpg", width, height)
    file = CocoFile(Path("x.json"), (picture,), (1,), ("dog",), {7: [box(1, 7, bbox=bbox)]})
    annotation = to_annotation(file, picture)
    x, y, w, h = bbox
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if w <= 0 or h <= 0 or right <= left or bottom <= top:
        assert annotation.names == ()
        return
    if not annotation.names:  # so thin that float32 has one number for both sides
        assert min((right - left) / width, (bottom - top) / height) < 1e-7
        assert "too thin" in annotation.repairs[0] or "has no area" in annotation.repairs[0]
        return
    assert annotation.names == ("dog",)
    want = np.array([left / width, top / height, right / width, bottom / height])
    np.testing.assert_allclose(annotation.boxes[0], want, rtol=1e-6, atol=1e-7)
    sticks_out = max(-x, -y, x + w - width, y + h - height) > 0.02
    assert bool(annotation.repairs) == sticks_out


def test_outlines_are_not_kept(tmp_path: Path) -> None:
    outline = [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]
    root = write_coco(tmp_path, {"val": _one(box(1, 7, segmentation=outline))})
    file = read_instances(root / "annotations" / "instances_val.json")
    assert "segmentation" not in file.objects[7][0]


def test_reads_as_pycocotools_does(tmp_path: Path) -> None:
    """The reference reader finds the same boxes, crowds and areas for every picture."""
    reference = pytest.importorskip(
        "pycocotools.coco", reason="pycocotools (extra coco) is not installed: not compared"
    )
    rng = np.random.default_rng(3)
    boxes = []
    for k in range(60):
        x, y = rng.uniform(0, 80), rng.uniform(0, 60)
        bbox = (x, y, rng.uniform(1, 100 - x), rng.uniform(1, 80 - y))
        crowd, category = int(rng.integers(2)), int(rng.choice([1, 3]))
        boxes.append(box(k, int(rng.integers(9)), category, bbox, iscrowd=crowd, area=float(k)))
    root = write_coco(tmp_path, {"val": coco([image(i) for i in range(9)], boxes)})
    theirs = reference.COCO(str(root / "annotations" / "instances_val.json"))
    ours = open_dataset(root, "val", crowds=True)
    assert [int(i) for i in ours.image_ids] == theirs.getImgIds()
    assert list(ours.contents.category_ids) == theirs.getCatIds()
    for index, image_id in enumerate(theirs.getImgIds()):
        want = theirs.loadAnns(theirs.getAnnIds(image_id))
        sample = ours[index]
        xywh = sample.boxes * [100, 80, 100, 80]
        xywh[:, 2:] -= xywh[:, :2]
        np.testing.assert_allclose(xywh.reshape(-1), np.ravel([a["bbox"] for a in want]), atol=1e-4)
        assert sample.crowd.tolist() == [a["iscrowd"] == 1 for a in want]
        assert sample.area.tolist() == [a["area"] for a in want]
        numbers = [ours.contents.category_ids[label - 1] for label in sample.labels]
        assert numbers == [a["category_id"] for a in want]


def test_augmentation_takes_such_samples(tmp_path: Path) -> None:
    root = write_coco(tmp_path, {"val": _one(box(1, 7, iscrowd=1, area=5), box(2, 7, area=6))})
    sample = open_dataset(root, "val", crowds=True)[0]
    resized = Resize(64)(sample, np.random.default_rng(0))
    assert (resized.crowd.tolist(), resized.area.tolist()) == ([True, False], [5, 6])
    for index in range(20):  # with crops, which take objects away
        varied = Augment.named("paper", 64)(sample, np.random.default_rng(index))
        assert len(varied.crowd) == len(varied.area) == len(varied.boxes)
