"""A configuration as JSON text and back, so that a file of weights says by itself what network it belongs to."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from minissd.boxes.default_boxes import FeatureMap
from minissd.models.network import ExtraMap, Network
from minissd.models.spec import DetectorSpec


def spec_to_json(spec: DetectorSpec) -> str:
    """Return a configuration as JSON text; floats come back exactly."""
    return json.dumps(dataclasses.asdict(spec))


def spec_from_json(text: str) -> DetectorSpec:
    """Read a configuration back.

    Args:
        text: What `spec_to_json` wrote.

    Raises:
        ValueError: It is not JSON, or not a configuration that this version knows.
    """
    try:
        fields = _tuples(json.loads(text))
        fields["maps"] = tuple(FeatureMap(**each) for each in fields["maps"])
        extras = tuple(ExtraMap(**each) for each in fields["network"]["extras"])
        fields["network"] = Network(**{**fields["network"], "extras": extras})
        return DetectorSpec(**fields)
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a configuration of this version: {error}") from error


def _tuples(value: Any) -> Any:
    """Turn the lists of JSON back into tuples."""
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return {k: _tuples(v) for k, v in value.items()} if isinstance(value, dict) else value
