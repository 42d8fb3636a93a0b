"""The ablation: what is trained, once each; stopped and gone on with; and tables that show what was measured."""

import json
import shutil

import pytest
from plotting_cases import legend_words, texts

from minissd import plotting
from minissd.cli import main
from minissd.errors import InputError
from minissd.training.ablation import (
    QUICK,
    box_counts,
    describe_runs,
    format_tables,
    run_ablation,
    run_configs,
)
from minissd.training.ablation_rows import GROUPS, Row, ablation_rows
from minissd.training.config import TrainConfig
from minissd.training.run import TrainingRun

BASE = TrainConfig("data", **QUICK)
VGG = TrainConfig("data", model="ssd300", augment="no-expansion")


def test_the_small_network_has_twenty_runs_and_a_table_a_question():
    rows = ablation_rows(BASE)
    assert list(dict.fromkeys(row.group for row in rows)) == list(GROUPS)
    runs = run_configs(BASE, rows)
    assert len(runs) == 20
    assert runs["baseline"] == BASE
    assert len({config.to_json() for config in runs.values()}) == 20  # none is trained twice
    assert {group: sum(row.group == group for row in rows) for group in GROUPS} == {
        "augmentation": 6, "ratios": 3, "dilation": 2, "maps": 10, "negatives": 4,
    }  # fmt: skip


def test_every_group_has_its_baseline():
    for base in (BASE, VGG, TrainConfig("data", model="ssd-mobilenetv2", augment="no-expansion")):
        shared = {row.group for row in ablation_rows(base) if row.run == "baseline"}
        assert shared == set(GROUPS) - ({"dilation"} if base.model != "ssd300" else set())


def test_dilation_is_said_not_to_apply_to_a_network_without_it():
    rows = ablation_rows(BASE, ["dilation"])
    assert [row.run for row in rows] == ["", ""]
    assert "not applicable: minissd has no dilated layer" in format_tables(rows, {})
    assert [row.run for row in ablation_rows(VGG, ["dilation"])] == ["full-vgg", "baseline"]
    assert run_configs(VGG, ablation_rows(VGG))["full-vgg"].model == "ssd300-full-vgg"


@pytest.mark.parametrize(
    ("group", "figures"),
    [
        ("augmentation", [None, 0.655, None, None, 0.743, 0.772]),
        ("ratios", [0.716, 0.737, 0.743]),
        ("dilation", [0.742, 0.743]),
        (
            "maps",
            [0.743, 0.746, 0.738, 0.707, 0.642, 0.624, 0.634, 0.631, 0.684, 0.692, 0.644, 0.640],
        ),
        ("negatives", [None, None, None, None]),
    ],
)
def test_the_papers_figures(group, figures):
    assert [row.paper for row in ablation_rows(VGG, [group])] == figures


def test_the_variants_and_their_boxes_are_listed(capsys):
    assert main(["ablate", "--list"]) == 0
    text = capsys.readouterr().out
    assert (
        text
        == describe_runs(BASE.__class__("runs/ablation/shapes", **QUICK), ablation_rows(BASE))
        + "\n"
    )
    lines = {line.split()[0]: line.split() for line in text.splitlines()}
    assert lines["baseline"][1:] == ["4", "6", "6", "6", "6", "876", "876"]
    assert lines["maps-second"][1:4] == ["22", "792", "792"]
    assert lines["maps-all-inside"][6:8] == ["876", "592"]
    assert box_counts(TrainConfig("", model="ssd300", variant="maps-all-inside")) == (8732, 5863)


def tiny(data, **changes):
    settings = {"image_size": 96, "width": 2, "batch_size": 8, "iterations": 4, "workers": 0}
    return TrainConfig(str(data), **(settings | {"augment": "flip"} | changes))


def two_rows():
    return [
        Row("maps", "all", paper=0.743),
        Row("maps", "the second only", "maps-second", {"variant": "maps-second"}, 0.624),
        Row("dilation", "none", "", note="not applicable: a test"),
    ]


@pytest.fixture(scope="module")
def finished(tiny_shapes, tmp_path_factory):
    """The folder of an ablation of two runs."""
    folder = tmp_path_factory.mktemp("ablation") / "out"
    assert run_ablation(tiny(tiny_shapes), two_rows(), folder, "cpu", progress=False) == 0
    return folder


def test_two_variants_are_trained_evaluated_and_compared(finished):
    assert sorted(path.name for path in finished.iterdir()) == [
        "ablation.png", "baseline", "maps-second", "results.json", "results.md",
    ]  # fmt: skip
    report = json.loads((finished / "results.json").read_text())
    assert report["base"]["iterations"] == 4
    assert report["runs"]["maps-second"]["default_boxes"] == 792
    table = (finished / "results.md").read_text()
    assert (
        "minissd at 96 pixels, 4 steps with 8 images a step, one run a row, all with seed 0"
        in table
    )
    assert "mAP (11-point, IoU 0.5) on 8 images" in table
    for name in ("baseline", "maps-second"):
        evaluation = json.loads((finished / name / "evaluation.json").read_text())
        result = report["runs"][name]
        assert result["mean_ap"] == evaluation["mean_ap"]
        assert result["by_size"]["large"] == evaluation["by_size"]["large"]["mean_ap"]
        assert result["evaluation"]["images"] == 8
        assert f"| {result['mean_ap']:.3f} |" in table
    assert "| the second only | 792 |" in table
    assert table.count("| 0.624 |") == 1
    assert "(not applicable: a test)" in table
    assert (finished / "ablation.png").stat().st_size > 5000


def test_what_is_finished_is_not_trained_again(finished, tiny_shapes, monkeypatch):
    def trained_again(*_):
        pytest.fail("a finished run was opened")

    monkeypatch.setattr(TrainingRun, "start", trained_again)
    monkeypatch.setattr(TrainingRun, "resume", trained_again)
    before = (finished / "results.json").read_text()
    assert run_ablation(tiny(tiny_shapes), two_rows(), finished, "cpu", progress=False) == 0
    assert (finished / "results.json").read_text() == before


def test_stopped_in_the_second_variant_it_goes_on_there(
    finished, tiny_shapes, tmp_path, monkeypatch
):
    """Killed in the third step of the second run, after a checkpoint, and between training and evaluation."""
    config = tiny(tiny_shapes, save_every=2)
    steps, train = [], TrainingRun.train

    def train_then_die(run, *rest):
        step = run.trainer.step

        def counted(batch):
            if len(steps) == 7:
                raise KeyboardInterrupt
            steps.append(run.folder.name)
            return step(batch)

        run.trainer.step = counted
        train(run, *rest)

    monkeypatch.setattr(TrainingRun, "train", train_then_die)
    with pytest.raises(KeyboardInterrupt):
        run_ablation(config, two_rows(), tmp_path / "out", "cpu", progress=False)
    assert not (tmp_path / "out" / "results.json").exists()
    monkeypatch.setattr(TrainingRun, "train", train)
    assert run_ablation(config, two_rows(), tmp_path / "out", "cpu", progress=False) == 0
    assert steps == ["baseline"] * 4 + ["maps-second"] * 3
    runs = [
        json.loads((f / "results.json").read_text())["runs"] for f in (finished, tmp_path / "out")
    ]
    assert runs[0] == runs[1]


def test_a_run_of_other_settings_is_not_mixed_in(finished, tiny_shapes):
    with pytest.raises(
        InputError, match=r"baseline: holds a run with other settings \(seed 0, not 1"
    ):
        run_ablation(tiny(tiny_shapes, seed=1), two_rows(), finished, "cpu", progress=False)


def test_a_damaged_evaluation_is_named(finished, tiny_shapes, tmp_path):
    shutil.copytree(finished, tmp_path / "out")
    (tmp_path / "out" / "baseline" / "evaluation.json").write_text('{"mean_ap": 0.5')
    with pytest.raises(InputError, match=r"evaluation\.json: damaged"):
        run_ablation(tiny(tiny_shapes), two_rows(), tmp_path / "out", "cpu", progress=False)


def test_the_command_says_what_is_wrong(capsys, tmp_path, tiny_shapes):
    out = ["--out", str(tmp_path / "out")]
    assert main(["ablate", str(tiny_shapes), "--images", "9", *out]) == 2
    assert "--images is for drawn shapes" in capsys.readouterr().err
    assert main(["ablate", str(tiny_shapes), "--eval-split", "none", *out]) == 2
    assert "eval_split" in capsys.readouterr().err
    assert main(["ablate", str(tmp_path / "nowhere"), *out]) == 2
    assert "nowhere" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["ablate", "--only", "nothing"])


def test_the_command_draws_its_pictures_and_prints_the_table(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("minissd.commands.ablate.N_TEST", 4)
    words = ["ablate", "--only", "dilation", "--images", "8", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    captured = capsys.readouterr().out
    assert "8 shapes to train on, 4 to evaluate on" in captured
    assert "not applicable" in captured


def test_the_figure_shows_both_and_says_which_is_which():
    groups = {
        "maps": [("all", 0.5, 0.743), ("second", 0.25, None)],
        "dilation": [("none", None, 0.742)],
    }
    figure = plotting.ablation_figure(groups, "minissd", "the paper's")
    first, second = figure.axes
    assert [bar.get_width() for bar in first.patches] == [0.5, 0.25]
    assert [line.get_xdata()[0] for line in first.lines] == [0.743]
    assert texts(first) == ["0.500", "0.250"]
    assert texts(second) == ["not measured"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["all", "second"]
    assert first.get_title(loc="left") == "maps"
    assert legend_words(figure) == ["measured here", "the paper's"]
    with pytest.raises(ValueError, match="groups"):
        plotting.ablation_figure({"maps": []}, "minissd", "x")
