"""The stored run of chapter 7: its first steps come out again, and it is small enough to be kept."""

from __future__ import annotations

import importlib.util

import numpy as np
from chapter_tools import FOLDER

FILE = FOLDER / "runs" / "ch07_mining.npz"


def script():
    spec = importlib.util.spec_from_file_location("ch07_mining", FILE.with_suffix(".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_first_steps_come_out_again():
    stored, again = np.load(FILE), script().record(steps=3)
    n = len(again["steps"])
    assert again["steps"].tolist() == stored["steps"][:n].tolist() == [0, 3]
    np.testing.assert_allclose(again["training"], stored["training"][:3], rtol=1e-2)
    np.testing.assert_allclose(again["losses"], stored["losses"][:n], rtol=1e-2)
    for name in ("scores", "offsets"):
        np.testing.assert_allclose(again[name][0], stored[name][0], atol=0.02)
    np.testing.assert_array_equal(again["mined_steps"], [0, 2])


def test_it_is_whole_and_small():
    module, stored = script(), np.load(FILE)
    assert FILE.stat().st_size <= 700_000
    assert stored["steps"].tolist() == list(module.KEPT)
    assert stored["mined_steps"].tolist() == list(module.MINED)
    assert len(stored["training"]) == module.STEPS
    assert all(np.isfinite(stored[name]).all() for name in stored.files)
