"""A published configuration with few channels: the same layers and maps, at a cost a test can pay."""

import dataclasses

from minissd.models.spec import DetectorSpec


def narrow(spec: DetectorSpec, width: int = 2, **fields) -> DetectorSpec:
    """Return the configuration with `width` channels in the first layer and the others to match."""
    extras = tuple(
        dataclasses.replace(extra, squeeze=width, channels=2 * width)
        for extra in spec.network.extras
    )
    settings = {"width": width, "fc_channels": 4 * width, "extras": extras} | fields
    return dataclasses.replace(spec, network=dataclasses.replace(spec.network, **settings))
