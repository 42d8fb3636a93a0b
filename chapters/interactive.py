"""Pictures that move: sliders beside a figure, drawn by the same function as the still picture that is saved."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from course import FAST, STATIC, png
from IPython.display import Image, display
from matplotlib.figure import Figure

FRAMES = os.environ.get("MINISSD_FRAMES", "")  # a folder: the web page's pictures are drawn into it
MAX_FRAMES = 15  # pre-drawn steps of a slider, its start among them


class Slider(NamedTuple):
    """A number that the reader moves: least and greatest value, where it starts, and its step."""

    low: float
    high: float
    start: float
    step: float = 1


def explore(draw: Callable[..., Figure], alt: str, **sliders: Slider) -> None:
    """Show a figure under sliders; where a notebook is being saved, the figure at the sliders' start.

    The saved picture's metadata count how often `draw` was called: on the fast profile, which the tests run, every
    slider is moved to both of its ends.

    Args:
        draw: Takes one keyword a slider and returns a figure.
        alt: What the figure shows, in one sentence, for readers who cannot see it.
        sliders: One for each keyword of `draw`; an underscore in its name is shown as a space.
    """
    if FRAMES:
        _draw_ahead(draw, sliders, Path(FRAMES))
    if STATIC or FAST:
        start = {name: slider.start for name, slider in sliders.items()}
        still = png(draw(**start))
        calls = 1 + (_rehearse(draw, sliders) if FAST else 0)
        display(
            Image(data=still, format="png", alt=alt, metadata={"interactive": {"calls": calls}})
        )
    else:
        display(panel(draw, sliders))


def panel(draw: Callable[..., Figure], sliders: dict[str, Slider]) -> Any:
    """Return the sliders and the picture they move as one widget, the picture last among its children."""
    import ipywidgets

    picture = ipywidgets.Image(format="png", layout={"max_width": "100%"})
    handles = {name: _handle(name, slider) for name, slider in sliders.items()}

    def redraw(change: Any = None) -> None:
        picture.value = png(draw(**{name: handle.value for name, handle in handles.items()}))

    for handle in handles.values():
        handle.observe(redraw, names="value")
    redraw()
    return ipywidgets.VBox([*handles.values(), picture])


def _handle(name: str, slider: Slider) -> Any:
    import ipywidgets

    kind = ipywidgets.FloatSlider
    if all(isinstance(number, int) for number in slider):
        kind = ipywidgets.IntSlider
    return kind(
        value=slider.start,
        min=slider.low,
        max=slider.high,
        step=slider.step,
        description=name.replace("_", " "),
        style={"description_width": "initial"},
        layout={"width": "60%"},
        continuous_update=False,
    )


def steps(slider: Slider) -> list[float]:
    """Return at most `MAX_FRAMES` values of a slider, evenly spread: both ends and its start are among them."""
    places = round((slider.high - slider.low) / slider.step)
    stride = -(-places // (MAX_FRAMES - 2))  # two are kept free for the start and the upper end
    values = [slider.low + slider.step * place for place in range(0, places + 1, stride)]
    return sorted({round(value, 10) for value in [*values, slider.start, slider.high]})


def _draw_ahead(draw: Callable[..., Figure], sliders: dict[str, Slider], folder: Path) -> None:
    """Draw the steps of the first slider, the others at their start, and list them in a file."""
    (name, first), *others = sliders.items()
    fixed = {other: slider.start for other, slider in others}
    number = len(list(folder.glob("*.json")))
    files = []
    for place, value in enumerate(steps(first)):
        file = folder / f"{number}-{place:02d}.png"
        file.write_bytes(png(draw(**{name: value}, **fixed)))
        files.append(file.name)
    listed = {"name": name, "values": steps(first), "start": first.start, "files": files}
    (folder / f"{number}.json").write_text(json.dumps({**listed, "fixed": fixed}))


def _rehearse(draw: Callable[..., Figure], sliders: dict[str, Slider]) -> int:
    """Move every slider to both of its ends and back; return how many pictures were drawn on the way."""
    calls = 0

    def counted(**values: float) -> Figure:
        nonlocal calls
        calls += 1
        return draw(**values)

    *handles, picture = panel(counted, sliders).children
    first = picture.value
    for handle, slider in zip(handles, sliders.values()):
        for value in (slider.low, slider.high, slider.start):
            handle.value = value
    if picture.value != first:
        raise AssertionError("the picture differs when the sliders come back to their start")
    return calls
