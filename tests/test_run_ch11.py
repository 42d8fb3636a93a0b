"""The stored run of chapter 11: its file is what the script makes, as far as this can be seen without the training."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from chapter_tools import CHAPTERS, FOLDER

from minissd.models.build import model_spec

sys.path.insert(0, str(FOLDER / "runs"))
import ch11_outputs


@pytest.fixture(scope="module")
def stored():
    with np.load(ch11_outputs.STORED) as file:
        return dict(file)


def test_the_first_steps_come_out_again(stored):
    assert np.allclose(ch11_outputs.first_losses(ch11_outputs.EPOCHS), stored["losses"], rtol=2e-3)


def test_there_are_outputs_of_every_picture(stored):
    spec = model_spec("minissd", n_object_classes=6)
    for name, sample in ch11_outputs.pictures().items():
        assert stored[f"{name}_scores"].shape == (spec.n_default_boxes, 7)
        assert stored[f"{name}_offsets"].shape == (spec.n_default_boxes, 4)
        assert sample.image.shape == (300, 300, 3)
    assert ch11_outputs.STORED.stat().st_size < 700_000


def test_the_chapter_draws_the_pictures_that_the_network_saw():
    (chapter,) = (each for each in CHAPTERS if each.number == 11)
    code = "\n".join(cell["source"] for cell in chapter.code)
    for seed, n in ch11_outputs.CROWDS.values():
        assert f"draw_scene(np.random.default_rng({seed}), (300, 300), {n}, (0.2, 0.5))" in code
