"""One visual language for every picture: a colour has one meaning, wherever it appears.

The colours are those of Okabe and Ito, which stay apart under the common kinds of colour blindness; curves, which are
not boxes, use others. What is right and what is wrong differs by line pattern too.
"""

from __future__ import annotations

from typing import NamedTuple

from minissd.errors import check


class Mark(NamedTuple):
    """How one kind of box is drawn.

    Attributes:
        color: As "#rrggbb".
        dashes: Line pattern as Matplotlib takes it.
        words: What the legend calls it.
    """

    color: str
    dashes: str | tuple
    words: str


SOLID, DASHED, DOTTED, DASH_DOT = "solid", (0, (4, 2)), (0, (1.2, 1.2)), (0, (7, 1.5, 1.5, 1.5))

MARKS: dict[str, Mark] = {
    "object": Mark("#F0E442", DASHED, "object (truth)"),
    "box": Mark("#E69F00", SOLID, "a box, not yet judged"),
    "ignored": Mark("#BBBBBB", DOTTED, "difficult: ignored"),
    "positive": Mark("#0072B2", SOLID, "positive default box"),
    "forced": Mark("#882255", SOLID, "positive, so that no object goes without"),
    "negative": Mark("#CC79A7", SOLID, "mined negative"),
    "detection": Mark("#56B4E9", SOLID, "detection"),
    "silenced": Mark("#000000", DOTTED, "silenced by a better box"),
    "right": Mark("#009E73", SOLID, "right detection"),
    "wrong": Mark("#D55E00", DASH_DOT, "wrong detection"),
}


class Area(NamedTuple):
    """How one kind of detection is drawn where shares are stacked.

    Attributes:
        color: As "#rrggbb".
        hatch: Pattern as Matplotlib takes it; none for an empty text.
        words: What the legend calls it.
    """

    color: str
    hatch: str
    words: str


# Pale and dark take turns, and neighbours differ by pattern too.
ERROR_AREAS: dict[str, Area] = {
    "Cor": Area(MARKS["right"].color, "", "correct"),
    "Loc": Area("#DDCC77", "....", "badly placed, or a duplicate"),
    "Sim": Area("#CC6677", "////", "similar class"),
    "Oth": Area("#AA4499", "\\\\\\\\", "other class"),
    "BG": Area("#DDDDDD", "", "background"),
}

CURVES = (
    "#000000",
    "#AA7744",
    "#882255",
    "#332288",
    "#999933",
)  # loss, its parts, and further curves
CURVE_DASHES = (SOLID, SOLID, (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)))
MEASURE = "#332288"  # average precision
QUIET = "#777777"  # axes, notes, the learning rate

DPI = 150
WIDTH = 8.0  # inches: shown 800 pixels wide, a point is 1.4 pixels
SMALL, NORMAL = 7.5, 9.0  # font sizes in points


def mark(name: str) -> Mark:
    """Return how a kind of box is drawn.

    Raises:
        ValueError: There is no such kind.
    """
    check(name in MARKS, "mark", " | ".join(MARKS), name)
    return MARKS[name]


def rgb(color: str) -> tuple[int, int, int]:
    """Return "#rrggbb" as three numbers, 0 to 255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def ink_on(color: str) -> str:
    """Return the colour of text, black or white, that stands out more from a background (WCAG contrast)."""
    linear = [
        (part / 255 / 12.92) if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4
        for part in rgb(color)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "#FFFFFF"
