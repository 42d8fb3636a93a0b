"""What the chapters share: the scene, the toy example, the way pictures are shown, and those that move."""

from __future__ import annotations

import io
from fractions import Fraction

import chapter_tools  # noqa: F401 - lets the chapters' folder be imported from
import contents
import course
import interactive
import numpy as np
import pytest
from matplotlib.figure import Figure
from oracles import iou_matrix
from PIL import Image

from minissd.boxes import area
from minissd.plotting import iou_figures


@pytest.fixture
def figure():
    toy = course.toy()
    return iou_figures.toy_figure(toy.objects, toy.boxes)


def test_the_scene_is_always_the_same_and_has_small_and_large_objects():
    sample, again = course.scene(), course.scene()
    assert np.array_equal(sample.image, again.image)
    assert sample.image.shape == (course.SIDE, course.SIDE, 3)
    names = [course.CLASSES[label - 1] for label in sample.labels]
    assert names == ["star", "circle", "ring", "cross", "circle"]
    pixels = (sample.boxes * course.SIDE).round().astype(int)
    assert pixels.tolist() == [
        [229, 208, 286, 264],
        [33, 130, 215, 288],
        [9, 61, 112, 162],
        [145, 174, 185, 222],
        [155, 24, 182, 52],
    ]
    sides = np.sqrt(area(sample.boxes)) * course.SIDE
    assert sides.min() < 32
    assert sides.max() > 160


def test_the_overlaps_of_the_toy_example_are_easy_fractions():
    toy = course.toy()
    expected = [["1/5", "0"], ["6/11", "1/6"], ["3/5", "3/7"], ["0", "2/7"], ["0", "0"]]
    expected = [[float(Fraction(value)) for value in row] for row in expected]
    assert np.allclose(iou_matrix(toy.boxes, toy.objects), expected)
    assert np.array_equal(toy.objects * 10, (toy.objects * 10).round())
    assert len(toy.labels) == len(toy.objects)


def test_a_figure_is_shown_small_and_as_wide_as_a_page(figure):
    data = course.png(figure)
    assert Image.open(io.BytesIO(data)).size[0] == course.SHOWN_WIDTH
    assert len(data) < 60_000
    _, metadata = course.show(figure, alt="two panels")._repr_png_()
    assert metadata["alt"] == "two panels"


def test_a_slider_draws_the_picture_anew():
    seen = []

    def draw(shift, height):
        seen.append((shift, height))
        made = Figure(figsize=(2, 1))
        made.text(0.1 + shift / 100, height, "x")
        return made

    sliders = {"shift": interactive.Slider(0, 60, 14), "height": interactive.Slider(0, 1, 0.5, 0.1)}
    panel = interactive.panel(draw, sliders)
    first, second, picture = panel.children
    before = picture.value
    first.value = 60
    assert picture.value != before
    second.value = 1.0
    assert seen == [(14, 0.5), (60, 0.5), (60, 1.0)]
    assert interactive._rehearse(draw, sliders) == 7
    assert {shift for shift, _ in seen} == {0, 14, 60}


def notebook(*cells):
    return {"cells": [{"cell_type": kind, "source": words} for kind, words in cells]}


def test_answers_are_found_under_their_heading_and_words_are_counted():
    prose = "# 5 · Fit\n\n## Part\n\nOne, two [three](x.md). <!-- answers 6 -->\n\n### Why? <!-- answers 4 -->"
    chapter = contents.Chapter(contents.FOLDER / "05_fit.ipynb", notebook(("markdown", prose)))
    assert chapter.answers() == {6: "Part", 4: "Why?"}
    assert chapter.words == 7
    page = "a\n<!-- map -->\nold\n<!-- /map -->\n<!-- questions -->\n<!-- /questions -->\nz"
    page = contents.with_tables(page, [chapter])
    assert "[Fit](05_fit.ipynb)" in page
    assert "[5](05_fit.ipynb): Part" in page
    assert "old" not in page
    assert contents.with_tables(page, [chapter]) == page


def test_the_fingerprint_changes_with_the_source_only():
    one, same = notebook(("code", "x = 1")), notebook(("code", ["x = ", "1"]))
    same["cells"][0]["outputs"] = ["something"]
    assert contents.fingerprint(one) == contents.fingerprint(same)
    assert contents.fingerprint(one) != contents.fingerprint(notebook(("code", "x = 2")))


def test_chapters_are_counted():
    from contents import chapters
    from counts import HEAD, count

    for chapter in chapters():
        numbers = dict(zip(HEAD[1:], count(chapter)))
        assert numbers["words"] == chapter.words
        assert numbers["exercises"] == len(chapter.exercises)
        assert 1 <= numbers["moving"] <= numbers["pictures"] == len(chapter.pictures)
