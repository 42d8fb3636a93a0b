"""How fast a case could be on a card: bytes over its copy bandwidth, operations over its rate of matrix products.

Both rates are measured on the card, in the run they are used in. The larger of the two times is the case's floor: no
program that runs the network layer by layer, and multiplies as often as the layers' definition says, can be faster.
Winograd's transforms multiply less often, so a share above 1 is possible where they are used.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType

from benchmarks.gpu_cases import PRECISIONS, GpuCase, build, switch_to_tf32
from minissd.errors import DeviceError
from minissd.models.ssd import SSD
from minissd.models.trace import Row, trace
from minissd.nn import BatchNorm2d, Conv2d, Dropout, ReLU, ReLU6

FUSED = (
    ReLU,
    ReLU6,
    BatchNorm2d,
    Dropout,
)  # done while their input is at hand: no bytes of their own
SIDE = 8192  # of the matrices
COPIED = 2**30  # bytes
ROUNDS = 10


@dataclass(frozen=True)
class Work:
    """The least that a case asks of a card."""

    bytes: float
    operations: float


@dataclass
class Card:
    """What a card was measured to do.

    Attributes:
        bandwidth: Bytes a second, read and written, of a copy within its memory.
        rates: Operations a second of a large matrix product, by precision; those it does not have are missing.
        missing: Why, by precision.
    """

    bandwidth: float
    rates: dict[str, float]
    missing: dict[str, str] = field(default_factory=dict)

    def floor(self, work: Work, precision: str) -> tuple[float, str]:
        """Return the least seconds of some work, and what sets them: memory or products."""
        memory = work.bytes / self.bandwidth
        products = work.operations / self.rates[precision]
        return (memory, "memory") if memory >= products else (products, "products")


def inputs(rows: list[Row], size: int) -> Iterator[tuple[Row, int]]:
    """Yield each layer of a traced network with how many numbers it reads for one image."""
    trunk = seen = 3 * size * size
    for row in rows:
        is_trunk = row.name.startswith("segments")
        yield row, trunk if is_trunk else seen
        seen = math.prod(row.view.shape)
        trunk = seen if is_trunk else trunk
        if row.name.startswith("heads"):
            seen = trunk


@cache
def work_of(case: GpuCase) -> Work:
    """Return `count_work` of a case's own network."""
    return count_work(case, build(case)[0])


def count_work(case: GpuCase, model: SSD) -> Work:
    """Count the bytes that must move and the operations that must be done.

    Forward, each layer reads its input and its weights and writes its output, once. On the way back it reads the
    gradient of its output, and a convolution its input and weights once more; it writes the gradients of its input and
    weights. The update reads weights, gradients and velocities and writes weights and velocities. A step's convolution
    is three products of the same work, the first layer's two.

    Args:
        case: Gives kind, batch and precision.
        model: Its network.
    """
    width = 2 if case.precision == "half" else 4
    if case.kind == "detect":
        row = model.n_classes + 4
        return Work(4.0 * case.batch * model.spec.n_default_boxes * row, 0.0)
    step = case.kind == "step"
    numbers = operations = 0.0
    for i, (row, n_in) in enumerate(inputs(trace(model), model.spec.image_size)):
        if isinstance(row.layer, FUSED):
            continue
        n_out, convolves = math.prod(row.view.shape), isinstance(row.layer, Conv2d)
        numbers += case.batch * (n_in + n_out) + row.n_parameters
        operations += 2.0 * case.batch * row.macs * (1 if not step else 3 if i else 2)
        if step:
            dx = n_in if i else 0
            numbers += case.batch * (n_out + dx + (n_in if convolves else 0))
            numbers += (convolves + 1) * row.n_parameters
    if step:
        numbers += 5 * sum(parameter.value.size for parameter in model.parameters().values())
    return Work(width * numbers, operations)


def measure_card(
    xp: ModuleType, wait: Callable[[], None], side: int = SIDE, copied: int = COPIED
) -> Card:
    """Measure copy bandwidth and the rate of matrix products in every precision.

    Args:
        xp: CuPy (tests: a stand-in).
        wait: Returns when the device has done all it was told.
        side: Rows and columns of the matrices.
        copied: Bytes of the copy.
    """
    card = Card(copy_bandwidth(xp, wait, copied), {})
    for precision, dtype in PRECISIONS.items():
        a = xp.ones((side, side), dtype)
        try:
            back = switch_to_tf32(precision)
        except (DeviceError, ImportError) as error:
            card.missing[precision] = str(error)
            continue
        card.rates[precision] = 2.0 * side**3 / fastest(lambda a=a: xp.matmul(a, a), wait)
        back()
    return card


def copy_bandwidth(xp: ModuleType, wait: Callable[[], None], copied: int) -> float:
    """Return the bytes a second, read and written, of a copy on the device."""
    source, target = xp.zeros(copied // 4, "float32"), xp.zeros(copied // 4, "float32")

    def copy() -> None:
        target[...] = source

    return 2 * source.nbytes / fastest(copy, wait)


def fastest(do: Callable[[], object], wait: Callable[[], None]) -> float:
    """Return the seconds of the fastest of some rounds, each waited for, after one that does not count."""
    seconds = []
    for _ in range(ROUNDS + 1):
        wait()
        begun = time.perf_counter()
        do()
        wait()
        seconds.append(time.perf_counter() - begun)
    return min(seconds[1:])
