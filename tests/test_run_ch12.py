"""The stored run of chapter 12: its file is what the script makes, as far as this can be seen without the training."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from chapter_tools import CHAPTERS, FOLDER

sys.path.insert(0, str(FOLDER / "runs"))
import ch12_evaluation as run


@pytest.fixture(scope="module")
def stored():
    with np.load(run.STORED) as file:
        return dict(file)


def test_the_first_steps_come_out_again(stored):
    assert np.allclose(run.first_losses(run.EPOCHS), stored["losses"], rtol=2e-3)


def test_every_picture_has_its_detections_best_first(stored):
    score_floor, _, most = stored["settings"]
    assert set(stored["picture"]) == set(range(run.N_PICTURES))
    assert len({len(stored[name]) for name in ("boxes", "labels", "scores", "picture")}) == 1
    assert stored["scores"].min() > score_floor
    for number in range(run.N_PICTURES):
        scores = stored["scores"][stored["picture"] == number]
        assert 0 < len(scores) <= most
        assert (np.diff(scores) <= 0).all()
    assert run.STORED.stat().st_size < 700_000


def test_the_chapter_draws_the_pictures_that_the_network_saw():
    (chapter,) = (each for each in CHAPTERS if each.number == 12)
    code = "\n".join(cell["source"] for cell in chapter.code)
    assert f"draw_scene(np.random.default_rng([{run.SEED}, number]))" in code
    assert f"range({run.N_PICTURES})" in code
