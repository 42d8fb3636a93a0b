"""What an ablation changes in a configuration: the ratios of its default boxes, and the maps they stand on.

A variant is a function from one `DetectorSpec` to another. A run names it in its settings, so that a checkpoint of an
ablation can be opened like any other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from minissd.boxes.default_boxes import FeatureMap
from minissd.errors import check
from minissd.models.network import Network
from minissd.models.spec import DetectorSpec

ROOM = 1.10  # a variant with fewer maps has at most 10 % more default boxes, unless squares alone are more


def without_ratios(spec: DetectorSpec, ratios: Sequence[float]) -> DetectorSpec:
    """Take boxes of some ratios (and their reciprocals) away from every map (Liu et al. 2016, table 2)."""
    maps = [
        dataclasses.replace(m, ratios=tuple(r for r in m.ratios if r not in ratios))
        for m in spec.maps
    ]
    return dataclasses.replace(spec, maps=tuple(maps))


def only_maps(spec: DetectorSpec, numbers: Sequence[int]) -> DetectorSpec:
    """Predict on some of the maps only, at a nearly constant number of default boxes (Liu et al. 2016, table 3).

    The sizes of the maps that go are stacked on the cells of the coarsest map that stays, so that objects of every
    size keep a box. A stacked size brings along as many of its shapes as there is room for: all of them; or the two
    squares and the ratios 2 and 1/2; or the two squares; or, whatever the number, the small square. There is room as
    long as the total is at most 10 % above that of the whole configuration. The layers behind the coarsest map go too.

    Args:
        spec: With all its maps.
        numbers: Of the maps that stay, rising from 0.

    Raises:
        ValueError: There are no such maps.
    """
    known = list(numbers) == sorted(set(numbers) & set(range(len(spec.maps)))) and len(numbers) > 0
    check(known, "numbers", f"rising numbers among 0 to {len(spec.maps) - 1}", tuple(numbers))
    gone = [m for i, m in enumerate(spec.maps) if i not in numbers]
    kept = [spec.maps[i] for i in numbers]
    for keep_shapes in (_all_shapes, _up_to_two, _squares, _small_square):
        stacked = tuple(keep_shapes(_moved(m, kept[-1])) for m in gone)
        maps = (*kept[:-1], dataclasses.replace(kept[-1], stacked=stacked))
        if sum(m.n_boxes for m in maps) <= ROOM * spec.n_default_boxes:
            break
    return dataclasses.replace(spec, maps=maps, network=_network(spec, numbers))


def _moved(source: FeatureMap, target: FeatureMap) -> FeatureMap:
    return dataclasses.replace(source, size=target.size, step=target.step)


def _all_shapes(m: FeatureMap) -> FeatureMap:
    return m


def _up_to_two(m: FeatureMap) -> FeatureMap:
    return dataclasses.replace(m, ratios=tuple(r for r in m.ratios if r <= 2))


def _squares(m: FeatureMap) -> FeatureMap:
    return dataclasses.replace(m, ratios=())


def _small_square(m: FeatureMap) -> FeatureMap:
    return dataclasses.replace(m, ratios=(), max_size=None)


def _network(spec: DetectorSpec, numbers: Sequence[int]) -> Network:
    """Return the layers that make these maps; VGG16's keep their names, by which weights are loaded."""
    network = spec.network
    if network.body != "vgg16" or network.global_average:
        return dataclasses.replace(network, predict=tuple(numbers))
    n_sources = len(network.sources)
    sources = tuple(network.sources[n] for n in numbers if n < n_sources)
    extras = network.extras[: max(0, numbers[-1] + 1 - n_sources)]
    missing = [n for n in range(numbers[-1]) if n not in numbers and n >= n_sources - 1]
    check(not missing and len(sources) > 0, "numbers", "no gap behind VGG16", tuple(numbers))
    normalised = tuple(name for name in network.normalised if name in sources)
    return dataclasses.replace(network, sources=sources, extras=extras, normalised=normalised)


def _first(n_maps: int) -> Callable[[DetectorSpec], DetectorSpec]:
    return lambda spec: only_maps(spec, range(n_maps))


def _ignoring(change: Callable[[DetectorSpec], DetectorSpec]) -> Callable[..., DetectorSpec]:
    return lambda spec: dataclasses.replace(change(spec), ignore_border=True)


_MAPS: dict[str, Callable[[DetectorSpec], DetectorSpec]] = {
    "maps-all": lambda spec: spec,  # named for its twin without border boxes
    **{f"maps-{n}": _first(n) for n in range(6, 1, -1)},
    "maps-second": lambda spec: only_maps(spec, [1]),
}
VARIANTS: dict[str, Callable[[DetectorSpec], DetectorSpec]] = {
    "": lambda spec: spec,
    "no-ratio-3": lambda spec: without_ratios(spec, [3.0]),
    "no-ratios": lambda spec: without_ratios(spec, [2.0, 3.0]),
    **_MAPS,
    **{f"{name}-inside": _ignoring(change) for name, change in _MAPS.items()},
}


def vary(spec: DetectorSpec, variant: str) -> DetectorSpec:
    """Return a configuration changed by a variant of `VARIANTS` ("": not at all).

    Raises:
        ValueError: There is no such variant, or the configuration has too few maps for it.
    """
    check(variant in VARIANTS, "variant", " | ".join(filter(None, VARIANTS)), variant)
    changed = VARIANTS[variant](spec)
    return dataclasses.replace(changed, name=f"{spec.name}, {variant}") if variant else spec
