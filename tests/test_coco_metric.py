"""COCO's numbers: equal to a direct call of its own program on files, by hand, and what is said where it is missing."""

from __future__ import annotations

import builtins
import contextlib
import io
import json
import math

import numpy as np
import pytest
from evaluation_cases import BOX, FAR, found, random_scene, truth

from minissd.errors import InputError
from minissd.evaluation import Truth
from minissd.evaluation.coco import NAMES, evaluate_coco
from minissd.evaluation.coco_records import (
    coco_results,
    ground_truth,
    image_numbers,
    write_coco_results,
)

CLASSES = ["a", "b", "c", "never"]
IDS = [7, 90, 1, 13]  # not in the order of the labels


@pytest.fixture
def pycocotools():
    reason = "COCO's metric is not tested: pycocotools is not installed (pip install minissd[coco])"
    return pytest.importorskip("pycocotools", reason=reason)


def scene(rng: np.random.Generator, stated_area: bool = True) -> tuple[list, list[Truth]]:
    """Pictures of several sizes, with objects of all three areas, crowds, and numbers that are not in order."""
    detections, truths = random_scene(rng, n_images=30)
    numbers = rng.permutation(1000)[: len(truths)]
    for i, one in enumerate(truths):
        size = (int(rng.integers(40, 640)), int(rng.integers(40, 480)))
        area = rng.uniform(0.3, 1, len(one.labels)) * boxed_area(one.boxes, size)
        truths[i] = one._replace(
            size=size, image_id=f"{numbers[i]:012d}", area=area if stated_area else None
        )
    return detections, truths


def boxed_area(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) * size[0] * size[1]


def written(tmp_path, detections, truths) -> tuple[str, str]:
    """COCO's two files, written here from scratch."""
    objects, answers = [], []
    for found_, one in zip(detections, truths):
        w, h = one.size
        for k, (x0, y0, x1, y1) in enumerate(one.boxes):
            box = [x0 * w, y0 * h, (x1 - x0) * w, (y1 - y0) * h]
            area = box[2] * box[3] if one.area is None else float(one.area[k])
            record = {"id": len(objects) + 1, "image_id": int(one.image_id), "bbox": box}
            record |= {"category_id": IDS[one.labels[k] - 1], "iscrowd": int(one.difficult[k])}
            objects.append({**record, "area": area})
        for (x0, y0, x1, y1), label, score in zip(*found_):
            box = [x0 * w, y0 * h, (x1 - x0) * w, (y1 - y0) * h]
            record = {"image_id": int(one.image_id), "category_id": IDS[label - 1], "bbox": box}
            answers.append({**record, "score": float(score)})
    known = {
        "info": {},
        "images": [
            {"id": int(t.image_id), "width": t.size[0], "height": t.size[1]} for t in truths
        ],
        "categories": [{"id": i, "name": name} for i, name in zip(IDS, CLASSES)],
        "annotations": objects,
    }
    for name, content in (("known.json", known), ("found.json", answers)):
        (tmp_path / name).write_text(json.dumps(content))
    return str(tmp_path / "known.json"), str(tmp_path / "found.json")


def own_numbers(known: str, found_: str) -> np.ndarray:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO(known)
        run = COCOeval(data, data.loadRes(found_), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats


def as_stats(result) -> list[float]:
    values = [getattr(result, name) for name in NAMES]
    return [-1.0 if math.isnan(value) else value for value in values]


@pytest.mark.parametrize("stated_area", [True, False])
def test_the_numbers_are_those_of_cocos_program_on_files(
    pycocotools, rng, tmp_path, capsys, stated_area
):
    detections, truths = scene(rng, stated_area)
    ours = evaluate_coco(detections, truths, CLASSES, IDS, {"nms_iou": 0.45})
    assert capsys.readouterr() == ("", "")
    expected = own_numbers(*written(tmp_path, detections, truths))
    assert as_stats(ours) == pytest.approx(expected.tolist(), abs=1e-12)
    assert len({round(number, 3) for number in expected if number > 0}) > 8  # worth comparing
    assert math.isnan(ours.per_class["never"])
    known = [ap for ap in ours.per_class.values() if not math.isnan(ap)]
    assert ours.ap == pytest.approx(np.mean(known), abs=1e-12)
    assert ours.settings["crowds"] == sum(int(t.difficult.sum()) for t in truths) > 0
    assert "nms iou 0.45" in ours.format_table()


def test_classes_have_their_own_numbers(pycocotools, rng):
    detections, truths = scene(rng)
    together = evaluate_coco(detections, truths, CLASSES, IDS)
    for label, name in enumerate(CLASSES[:3], start=1):
        mine = [d.labels == label for d in detections]
        own = [t.labels == label for t in truths]
        alone = evaluate_coco(
            [found(*d.boxes[k], scores=d.scores[k]) for d, k in zip(detections, mine)],
            [
                t._replace(
                    boxes=t.boxes[k],
                    labels=t.labels[k] * 0 + 1,
                    difficult=t.difficult[k],
                    area=t.area[k],
                )
                for t, k in zip(truths, own)
            ],
            [name],
        )
        assert alone.ap == pytest.approx(together.per_class[name], abs=1e-12)


def test_the_result_file_gives_the_same_numbers(pycocotools, rng, tmp_path):
    detections, truths = scene(rng)
    known, found_ = written(tmp_path, detections, truths)
    write_coco_results(tmp_path / "ours.json", detections, truths, CLASSES, IDS)
    rows = json.loads((tmp_path / "ours.json").read_text())
    assert len(rows) == sum(len(d.scores) for d in detections)
    assert own_numbers(known, str(tmp_path / "ours.json")) == pytest.approx(
        own_numbers(known, found_), abs=1e-12
    )


def test_numbers_by_hand(pycocotools):
    # 100 x 100 pixels: BOX is 40 x 40 = 1600 (medium), FAR 30 x 30 = 900 (small), found in a third of its area.
    truths = [truth(BOX, FAR)._replace(size=(100, 100))]
    third = (0.6, 0.6, 0.9, 0.7)
    result = evaluate_coco([found(BOX, third)], truths, ["cat"])
    # One of two found, at the top: precision 1 for the recalls 0, 0.01, ... 0.50, which are 51 of 101.
    assert result.ap == result.ap50 == pytest.approx(51 / 101)
    assert result.ar_100 == result.ar_1 == pytest.approx(1 / 2)
    assert (result.ap_medium, result.ap_small) == (pytest.approx(1), 0)
    assert math.isnan(result.ap_large)
    assert result.to_json()["ap_large"] is None
    json.dumps(result.to_json(), allow_nan=False)


def test_a_difficult_object_is_a_crowd(pycocotools):
    truths = [truth(BOX, FAR, difficult=[True, False])._replace(size=(100, 100))]
    inside = (0.2, 0.2, 0.3, 0.3)  # wholly in BOX, though its IoU with it is 1/16
    result = evaluate_coco([found(inside, inside, FAR)], truths, ["cat"])
    assert result.ap == pytest.approx(1)


def test_nothing_found_and_nothing_there_have_an_answer(pycocotools):
    sized = [truth(BOX)._replace(size=(100, 100)), truth()._replace(size=(10, 10))]
    assert evaluate_coco([found(), found()], sized, ["cat"]).ap == 0
    empty = evaluate_coco([found(BOX)], sized[1:], ["cat"])
    assert math.isnan(empty.ap)
    assert math.isnan(evaluate_coco([], [], ["cat"]).ar_100)
    assert "-" in empty.format_table()


def test_without_pycocotools_it_is_said_what_to_install(monkeypatch):
    import_ = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("pycocotools"):
            raise ImportError("No module named 'pycocotools'")
        return import_(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"needs pycocotools: pip install .*minissd\[coco\]"):
        evaluate_coco([], [], ["cat"])


def test_records_are_cocos():
    one = truth(BOX, labels=[2], difficult=[True])._replace(
        size=(200, 100), image_id="000000000139"
    )
    content = ground_truth([one], ["cat", "dog"], [17, 18])
    assert content["images"] == [{"id": 139, "width": 200, "height": 100}]
    assert content["categories"] == [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}]
    (record,) = content["annotations"]
    assert record.pop("bbox") == pytest.approx([20, 10, 80, 40])
    assert record.pop("area") == pytest.approx(3200)
    assert record == {"id": 1, "image_id": 139, "category_id": 18, "iscrowd": 1}
    (row,) = coco_results([found(BOX, labels=[1], scores=[0.5])], [one], ["cat", "dog"], [17, 18])
    assert row.pop("bbox") == pytest.approx([20, 10, 80, 40])
    assert row == {"image_id": 139, "category_id": 17, "score": 0.5}


def test_images_are_numbers_where_their_names_are():
    named = [truth()._replace(image_id=name) for name in ("000012", "7")]
    assert image_numbers(named) == [12, 7]
    assert image_numbers([*named, truth()._replace(image_id="2008_000007")])[0] == "000012"
    assert image_numbers([truth(), truth()]) == [1, 2]
    with pytest.raises(ValueError, match="images of different names"):
        image_numbers([*named, truth()._replace(image_id="12")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([found()], [truth()], ["cat"]), r"truths\[0\].size: expected width and height"),
        (([], [truth()], ["cat"]), "detections: expected 1 images"),
        (([], [], ["cat"], [1, 2]), "category_ids: expected 1 different numbers"),
        (([], [], ["cat", "dog"], [1, 1]), "category_ids: expected 2 different numbers"),
    ],
)
def test_wrong_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        coco_results(*arguments)


def test_a_label_without_a_name_is_refused():
    sized = [truth(BOX)._replace(size=(9, 9))]
    with pytest.raises(ValueError, match="labels 1 to 1, got 2"):
        coco_results([found(BOX, labels=[2])], sized, ["cat"])
    with pytest.raises(ValueError, match="labels 1 to 1, got 3"):
        ground_truth([sized[0]._replace(labels=np.array([3]))], ["cat"])
