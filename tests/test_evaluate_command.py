"""`evaluate`: its metrics, result files written and measured, the analysis of errors, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from minissd.cli import main
from minissd.commands.common import open_detector
from minissd.datasets.voc import VocDataset
from minissd.training.config import TrainConfig
from minissd.training.inference import Subset, category_ids, detect_dataset, read_truths, truth_of
from minissd.training.run import TrainingRun


@pytest.fixture(scope="module")
def begun(tiny_shapes, tmp_path_factory):
    """The folder of a run that was only begun: its network guesses, and finds something everywhere."""
    folder = tmp_path_factory.mktemp("evaluate") / "run"
    config = TrainConfig(str(tiny_shapes), image_size=128, width=2, epochs=1, eval_split="test")
    TrainingRun.start(config, folder, "cpu")
    return folder


@pytest.fixture(scope="module")
def measured(begun, tmp_path_factory):
    """What one call writes: VOC result files, the analysis of errors, figures, and the numbers of all."""
    out = tmp_path_factory.mktemp("measured")
    words = ["--voc-results", out / "results", "--errors", "--out", out / "figures"]
    assert evaluate(begun, *words, "--json", out / "e.json", "--device", "cpu") == 0
    return out


def evaluate(*words) -> int:
    return main(["evaluate", *map(str, words)])


def error_of(capsys, *words) -> str:
    """Run an evaluation that must fail with exit code 2 and one line of error, and return that line."""
    capsys.readouterr()
    assert evaluate(*words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "error:" in lines[-1]
    assert not any("error:" in line or "Traceback" in line for line in lines[:-1])
    return lines[-1]


def test_result_files_measured_again_give_the_same_numbers(measured, tiny_shapes, capsys):
    report = measured / "again.json"
    words = ["--results", measured / "results", "--data", tiny_shapes, "--json", report]
    assert evaluate(*words) == 0
    assert "mean of" in capsys.readouterr().out
    before, after = (json.loads(path.read_text()) for path in (measured / "e.json", report))
    assert before["mean_ap"] == after["mean_ap"]
    for name, result in before[
        "per_class"
    ].items():  # a class that no picture shows is not measured
        assert after["per_class"].get(name, result) == result
    assert set(before["per_class"]) - set(after["per_class"]) == set(before["missing"])
    for name, result in before["by_size"].items():
        assert after["by_size"][name]["mean_ap"] == result["mean_ap"]
    assert before["pooled"]["n_detections"] > 100
    assert before["settings"]["nms_iou"] == 0.45


def test_only_some_classes_of_result_files_can_be_measured(measured, tiny_shapes, capsys):
    words = ["--results", measured / "results", "--data", tiny_shapes, "--split", "test"]
    assert evaluate(*words, "--classes", "square,ring", "--metric", "voc") == 0
    out = capsys.readouterr().out
    assert "mean of 2 classes" in out
    assert "all-point" in out
    assert "circle" not in out


def test_a_wrong_line_of_a_result_file_is_one_line_of_error(
    measured, tiny_shapes, tmp_path, capsys
):
    for path in (measured / "results").iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "comp4_det_test_ring.txt").write_text("000025 0.5 1 1 9 9\nnobody 0.5 1 1 9 9\n")
    line = error_of(capsys, "--results", tmp_path, "--data", tiny_shapes)
    assert "comp4_det_test_ring.txt: line 2: unknown image 'nobody'" in line
    (tmp_path / "comp4_det_test_ring.txt").unlink()
    line = error_of(capsys, "--results", tmp_path, "--data", tiny_shapes)
    assert "comp4_det_test_ring.txt: no such result file" in line


def test_errors_are_counted_and_drawn(measured):
    figures = sorted(path.name for path in (measured / "figures").iterdir())
    assert figures == ["errors.png", "errors_wrong.png", "sensitivity.png"]
    report = json.loads((measured / "e.json").read_text())
    for row in report["errors"]["per_class"].values():
        if row["n_objects"]:
            assert sum(row[kind] for kind in ("Cor", "Loc", "Sim", "Oth", "BG")) == pytest.approx(1)
    assert report["errors"]["groups"] == {"all classes": list(report["per_class"])}
    assert set(report["sensitivity"]["per_class"]) <= set(report["per_class"])


def test_the_sets_of_similar_classes_can_be_chosen(begun, tmp_path, capsys):
    sets = tmp_path / "similar.json"
    sets.write_text('{"round": ["circle", "ring"]}')
    words = [begun, "--errors", "--similar", sets, "--limit", 2, "--out", tmp_path / "out"]
    assert evaluate(*words, "--device", "cpu") == 0
    out = capsys.readouterr().out
    assert "round" in out
    assert "sensitivity.png" in out
    sets.write_text('{"round": ["circle", "egg"]}')
    assert "egg" in error_of(capsys, *words)


def test_cocos_metric_and_result_file(begun, tmp_path, capsys):
    reason = "COCO's metric is not tested: pycocotools is not installed (pip install minissd[coco])"
    pytest.importorskip("pycocotools", reason=reason)
    files = tmp_path / "found.json", tmp_path / "e.json"
    words = ["--metric", "coco", "--coco-results", files[0], "--json", files[1], "--device", "cpu"]
    assert evaluate(begun, *words) == 0
    assert "AP, IoU 0.50 to 0.95" in capsys.readouterr().out
    rows, report = (json.loads(path.read_text()) for path in files)
    assert len(rows) == report["settings"]["detections"] > 100
    assert {row["image_id"] for row in rows} <= set(range(25, 33))
    assert 0 <= report["ap"] <= report["ap50"] <= 1


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([], "give either a run, or --results"),
        (["RUN", "--results", "results", "--data", "data"], "give either a run, or --results"),
        (["--results", "results"], "--results needs --data"),
        (
            ["--results", "r", "--data", "d", "--limit", "3"],
            "--limit: result files are measured whole",
        ),
        (["RUN", "--classes", "star"], "--classes goes with --results"),
        (["RUN", "--similar", "file"], "--similar goes with --errors"),
        (["RUN", "--metric", "coco", "--plot", "a.png"], "leave out --metric coco"),
        (["RUN", "--errors", "--similar", "nowhere.json"], "nowhere.json: cannot be read as JSON"),
        (["--results", "nowhere", "--data", "SHAPES"], "nowhere: no such folder of result files"),
    ],
)
def test_choices_that_do_not_fit_are_refused(words, fault, begun, tiny_shapes, capsys):
    places = {"RUN": begun, "SHAPES": tiny_shapes}
    assert fault in error_of(capsys, *(places.get(word, word) for word in words))


def test_a_network_that_was_not_trained_here_needs_its_data_named(begun, capsys, monkeypatch):
    detector, _ = open_detector(begun, "cpu")
    monkeypatch.setattr("minissd.commands.common.open_detector", lambda *_: (detector, None))
    assert "name the data set, --data and --split" in error_of(capsys, begun)


@pytest.mark.parametrize("text", ["[1]", '{"a": "cat"}', '{"a": [1]}', "{"])
def test_sets_of_similar_classes_that_are_none(text, begun, tmp_path, capsys):
    path = tmp_path / "similar.json"
    path.write_text(text)
    assert "similar.json: " in error_of(capsys, begun, "--errors", "--similar", path)


def test_truths_know_their_image_and_are_the_same_with_and_without_pictures(begun, tiny_shapes):
    detector, _ = open_detector(begun, "cpu")
    data = Subset(VocDataset(tiny_shapes, "test", detector.class_names), 3)
    found, truths = detect_dataset(detector, data, batch_size=2, progress=False)
    assert len(found) == 3
    for truth, other, index in zip(truths, read_truths(data.dataset), range(3)):
        sample = data[index]
        assert truth.size == other.size == sample.size != (128, 128)
        assert truth.image_id == other.image_id == sample.image_id
        for mine, theirs in zip(truth[:3], other[:3]):
            np.testing.assert_array_equal(mine, theirs)


def test_areas_and_numbers_of_a_data_set_are_used():
    class Contents:
        class_names, category_ids = ("cat", "dog", "cow"), (17, 18, 21)

    class Coco:
        contents = Contents

    assert category_ids(Coco, ["cow", "cat"]) == [21, 17]
    assert category_ids(Coco, ["cow", "yak"]) is None
    assert category_ids([], ["cow"]) is None

    class Annotation:
        names, width, height = ("cat", "yak", "cat"), 4, 3
        area, crowd = np.array([5.0, 6.0, 7.0]), np.array([False, False, True])

    class Areas(list):
        class_names, image_ids = ("cat",), ("7",)

        def annotation(self, index):
            return Annotation

        def truth(self, index):
            n = self[index]
            return np.zeros((n, 4)), np.ones(n, int), np.zeros(n, bool)

    assert read_truths(Areas([2]))[0].area.tolist() == [5, 7]
    assert read_truths(Areas([1]))[0].area.tolist() == [5]  # without the crowd

    class Sample:
        boxes, labels, difficult = np.zeros((1, 4)), np.ones(1, int), np.zeros(1, bool)
        size, image_id, area = (4, 3), "7", np.array([5.0])

    assert truth_of(Sample)[3:] == ((4, 3), "7", Sample.area)
