"""Command lines that would do something other than what was meant: refused, or done as meant."""

import argparse
import shutil

import pytest

from minissd.cli import main
from minissd.commands.common import class_list
from minissd.commands.detect import output_names, refuse_overwriting
from minissd.errors import InputError
from minissd.training.config import TrainConfig
from minissd.training.run import TrainingRun


@pytest.fixture(scope="module")
def two_classes(tiny_shapes, tmp_path_factory):
    """The folder of a run that was begun on two of the six shapes; its data set lies beside it."""
    folder = tmp_path_factory.mktemp("choices")
    shutil.copytree(tiny_shapes, folder / "data")
    config = TrainConfig(
        str(folder / "data"), classes=("star", "circle"), image_size=96, width=2, epochs=1
    )
    TrainingRun.start(config, folder / "run", "cpu")
    return folder / "run"


def test_a_network_of_chosen_classes_is_evaluated_where_there_are_others(two_classes, capsys):
    assert main(["evaluate", str(two_classes), "--limit", "2", "--device", "cpu"]) == 0
    table = capsys.readouterr().out
    assert "star" in table
    assert "ring" not in table


@pytest.mark.parametrize(
    "words", [["evaluate", "RUN", "--limit", "-3"], ["gradcheck", "--layer", "Nope"]]
)
def test_what_would_measure_nothing_is_refused(words, two_classes, capsys):
    assert main([str(two_classes) if word == "RUN" else word for word in words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_settings_beside_resume_are_refused(two_classes, capsys):
    assert main(["train", "data", "--resume", str(two_classes), "--epochs", "30"]) == 2
    assert "leave out DATA, --epochs" in capsys.readouterr().err


def test_a_data_set_that_has_changed_is_refused(two_classes):
    path = two_classes.parent / "data" / "ImageSets" / "Main" / "trainval.txt"
    whole = path.read_text()
    path.write_text(whole.partition("\n")[2])
    with pytest.raises(InputError, match="split trainval has changed"):
        TrainingRun.resume(two_classes, "cpu")
    path.write_text(whole)
    TrainingRun.resume(two_classes / "last.safetensors", "cpu")


def test_class_lists_may_be_longer_than_a_file_name(tmp_path):
    names = tuple(f"class{i:03d}" for i in range(80))
    assert class_list(",".join(names)) == names
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(argparse.ArgumentTypeError, match="not a text file"):
        class_list(str(tmp_path / "names.txt"))


def test_results_of_detect_take_no_place_of_a_picture(tmp_path):
    paths = [tmp_path / "a.jpg", tmp_path / "A.png"]
    names = output_names(paths)
    assert names == ["a.png", "A-2.png"]
    refuse_overwriting(paths, tmp_path, names)
    with pytest.raises(InputError, match="would be overwritten"):
        refuse_overwriting([tmp_path / "b.png"], tmp_path, ["b.png"])
