"""A profile in words: one line a layer, the slowest kinds, and the whole."""

from __future__ import annotations

from collections.abc import Iterable

from minissd.models.profile import LayerTime, Profile
from minissd.models.summary import describe

NOTE = """\
ms        median milliseconds of a round of {images}: the way forward{back}
GFLOP/s   billions of multiplications and additions a second that the *definition* of the layer asks for; Winograd's
          algorithm needs fewer, so that it can pass what the processor can do
joined    done by the layer before, while a block of its output is in the cache, and counted there
share     of the whole round; layers and parts sum to it, up to the noise of medians"""

JOINED = "joined"


def profile_table(profile: Profile, top: int | None = None) -> str:
    """Return a table of a profile.

    Args:
        profile: From `models.profile.profile`.
        top: How many layers to show, the slowest first; all in the network's order where None.
    """
    layers = profile.layers
    if top is not None:
        layers = sorted(layers, key=lambda layer: -layer.seconds)[:top]
    rows = [_layer_row(layer, profile) for layer in layers]
    left_out = profile.layers if top is None else [x for x in profile.layers if x not in layers]
    if top is not None and left_out:
        seconds = sum(layer.seconds for layer in left_out)
        rows.append((f"{len(left_out)} other layers", "", "", *_times(seconds, profile)))
    for name, seconds in profile.medians().items():
        rows.append((name, "", "", *_times(seconds, profile)))
    flop = sum(layer.flop(profile.images) for layer in profile.layers)
    rate = f"{flop / profile.seconds / 1e9:,.0f}"
    rows.append(("whole", "", "", "", "", f"{1e3 * profile.seconds:,.2f}", rate, "100.0 %"))
    head = (
        "layer",
        "kind",
        "algorithm",
        "forward ms",
        "backward ms",
        "both ms",
        "GFLOP/s",
        "share",
    )
    if not profile.training:
        rows = [(*row[:4], *row[6:]) for row in _without_both(rows)]
        head = (*head[:4], *head[6:])
    backward = " and back" if profile.training else ""
    note = NOTE.format(images=_count(profile.images, "image"), back=backward)
    return f"{_aligned([head, *rows])}\n\n{kinds_line(profile)}\n\n{note}"


def kinds_line(profile: Profile) -> str:
    """Return one line: what each kind of work takes of the whole, the largest first."""
    shares = by_kind(profile)
    words = [f"{kind} {seconds / profile.seconds:.0%}" for kind, seconds in shares.items()]
    speed = profile.images / profile.seconds
    return f"{', '.join(words)}; {speed:,.1f} images a second"


def by_kind(profile: Profile) -> dict[str, float]:
    """Return the median seconds of each kind of layer, convolutions by algorithm, and of all parts, largest first."""
    sums: dict[str, float] = {}
    for layer in profile.layers:
        kind = type(layer.row.layer).__name__
        kind = f"{kind} {layer.algorithm}".strip()
        sums[kind] = sums.get(kind, 0.0) + layer.seconds
    for name, seconds in profile.medians().items():
        sums[name] = seconds
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def _layer_row(layer: LayerTime, profile: Profile) -> tuple[str, ...]:
    flop = layer.flop(profile.images)
    rate = f"{flop / layer.seconds / 1e9:,.0f}" if flop and layer.seconds else ""
    forward, backward = layer.forward_seconds, layer.backward_seconds
    return (
        layer.row.name,
        describe(layer.row.layer),
        layer.algorithm,
        f"{1e3 * forward:,.2f}" if layer.forward else JOINED,
        f"{1e3 * backward:,.2f}" if layer.backward else JOINED,
        f"{1e3 * (forward + backward):,.2f}",
        rate,
        f"{(forward + backward) / profile.seconds:.1%}".replace("%", " %"),
    )


def _times(seconds: float, profile: Profile) -> tuple[str, ...]:
    share = f"{seconds / profile.seconds:.1%}".replace("%", " %")
    return ("", "", f"{1e3 * seconds:,.2f}", "", share)


def _without_both(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Put the one time of a row, where it stands in the column of both ways, into that of the way forward."""
    return [(*row[:3], row[3] or row[5], *row[4:]) for row in rows]


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    lines = []
    for row in rows:
        cells = [
            f"{cell:<{width}}" if i < 3 else f"{cell:>{width}}"
            for i, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
