"""The stand-in for a device array: refuses and counts what a GPU would, offers what CuPy has."""

import copy
import inspect
import operator

import numpy as np
import pytest
import strict_names
from strict_array import DeviceSlipError, StrictArray, strict

from minissd.backend import array_module, to_cpu, to_device

HOST = np.arange(12.0).reshape(3, 4)


@pytest.fixture
def device():
    return strict.asarray(HOST)


BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.lt,
    operator.ge,
    operator.eq,
    operator.ne,
]


@pytest.mark.parametrize("operate", [*BINARY, operator.iadd, operator.imul, operator.matmul])
def test_operators_refuse_host_arrays_on_either_side(operate, device):
    with pytest.raises(TypeError):
        operate(device, HOST)
    with pytest.raises(TypeError):
        operate(HOST.copy(), device)
    with pytest.raises(TypeError):
        operate(device, None)


@pytest.mark.parametrize("operate", BINARY)
def test_operators_compute_and_mix_with_scalars(operate, device):
    for other in (2, 2.0, np.float64(2), np.int64(2)):
        np.testing.assert_array_equal(operate(device, other).get(), operate(HOST, other))
    assert isinstance(operate(np.float64(3), device), StrictArray)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(operate(3, device).get(), operate(3, HOST))
        np.testing.assert_array_equal(operate(device, device).get(), operate(HOST, HOST))


CONVERSIONS = {
    "float": lambda x: float(x.sum()),
    "int": lambda x: int(x.sum()),
    "bool": lambda x: bool((x > 1).any()),
    "if": lambda x: 1 if x.sum() > 1 else 0,
    "range": lambda x: range(x.sum().astype(np.int64)),
    "iteration": lambda x: [row for row in x],  # noqa: C416
    "unpacking": lambda x: [*x],
    "in": lambda x: 3.0 in x,
    "format": lambda x: f"{x.sum():.3f}",
    "tolist": lambda x: x.tolist(),
    "numpy asarray": lambda x: np.asarray(x),
    "numpy array of scalars": lambda x: np.array([x.sum(), 1.0]),
    "numpy ufunc": lambda x: np.exp(x),
    "numpy function": lambda x: np.sum(x),
    "numpy concatenate": lambda x: np.concatenate([HOST, x]),
    "numpy where": lambda x: np.where(x > 1, 1, 2),
    "numpy scalar type": lambda x: np.float32(x.sum()),
    "numpy indexed by device": lambda x: HOST[x > 1],
    "numpy shape from device": lambda x: HOST.reshape(strict.asarray(12)),
    "numpy assignment": lambda x: operator.setitem(HOST.copy(), ..., x),
    "numpy in place": lambda x: operator.iadd(HOST.copy(), x),
    "numpy method": lambda x: HOST.dot(x.T),
    "index with a host array": lambda x: x[np.array([1])],
    "index with a host mask": lambda x: x[HOST > 1],
    "index with a list": lambda x: x[[0, 1]],
    "slice with a device number": lambda x: x[: strict.asarray(2)],
    "assign a host array": lambda x: operator.setitem(x, ..., HOST),
    "function": lambda x: strict.maximum(x, HOST),
    "function with a list": lambda x: strict.exp([1.0]),
    "keyword": lambda x: strict.clip(x, a_min=HOST, a_max=None),
    "method": lambda x: x.clip(0, HOST),
    "sequence": lambda x: strict.concatenate([x, HOST]),
    "einsum": lambda x: strict.einsum("ij,ij->i", x, HOST),
    "out": lambda x: strict.exp(x, out=HOST),
    "repeats from the device": lambda x: strict.repeat(x, strict.asarray([1, 2, 1]), axis=0),
    "shape from the device": lambda x: strict.zeros(strict.asarray(3)),
    "shape tuple from the device": lambda x: strict.zeros((strict.asarray(3), 2)),
    "reshape from the device": lambda x: x.reshape(strict.asarray(12)),
    "arange from the device": lambda x: strict.arange(strict.asarray(3)),
    "axis from the device": lambda x: x.sum(axis=strict.asarray(0)),
    "scatter into the host": lambda x: np.add.at(HOST.copy(), strict.asarray([0]), 1.0),
    "scatter from the host": lambda x: strict.add.at(x, strict.asarray([0]), HOST[0]),
    "scatter with host indices": lambda x: strict.add.at(x, np.array([0]), 1.0),
}


@pytest.mark.parametrize("slip", CONVERSIONS.values(), ids=CONVERSIONS.keys())
def test_a_slip_between_host_and_device_fails(slip, device):
    with pytest.raises(TypeError):
        slip(device)
    np.testing.assert_array_equal(device.get(), HOST)


LACKING = {
    "reduction where": lambda x: strict.sum(x, where=x > 1),
    "max initial": lambda x: x.max(initial=0),
    "ufunc where": lambda x: strict.exp(x, where=x > 1),
    "too many arguments": lambda x: strict.sqrt(x, None, None, "same_kind", 1),
    "lexsort of a tuple": lambda x: strict.lexsort((x[0], x[1])),
    "scatter of int64": lambda x: strict.add.at(strict.zeros(3, np.int64), strict.asarray([0]), 1),
    "text": lambda x: strict.asarray(np.array(["a"])),
    "objects": lambda x: strict.asarray(np.array([None])),
}


@pytest.mark.parametrize("call", LACKING.values(), ids=LACKING.keys())
def test_what_cupy_lacks_is_refused(call, device):
    with pytest.raises(TypeError):
        call(device)


def test_names_that_are_not_listed_are_refused(device):
    for name in ("errstate", "random", "apply_over_axes"):
        with pytest.raises(AttributeError, match=name):
            getattr(strict, name)
    with pytest.raises(AttributeError):
        device.tofile("x")
    with pytest.raises(AttributeError):
        strict.multiply.at  # noqa: B018


@pytest.mark.parametrize("sort", [strict.sort, strict.argsort], ids=["sort", "argsort"])
def test_sorting_is_stable_and_knows_no_other_kind(sort, device):
    sort(device, kind="stable")
    for call in (lambda: sort(device, kind="quicksort"), lambda: sort(device, -1, "heapsort")):
        with pytest.raises(ValueError, match="stable"):
            call()
    with pytest.raises(TypeError):
        device.sort(kind="stable")
    ties = strict.zeros(100)
    for order in (strict.argsort(ties, -1, "stable"), strict.argsort(ties), ties.argsort()):
        np.testing.assert_array_equal(order.get(), np.arange(100))


def test_transfers_are_counted(counted, device):
    counted.reset()
    device.get()
    device.sum().item()
    strict.asnumpy(device)
    assert (counted.to_host, counted.to_device, counted.syncs) == (3, 0, 0)
    strict.asarray(HOST)
    strict.array([1, 2])
    device.set(HOST)
    strict.asarray(device)
    assert (counted.to_host, counted.to_device, counted.syncs) == (3, 3, 0)
    counted.reset()
    assert repr(counted) == "Transfers(to_host=0, to_device=0, syncs=0)"


SYNCHRONISING = {
    "nonzero": lambda x: strict.nonzero(x),
    "method nonzero": lambda x: x.nonzero(),
    "where of one": lambda x: strict.where(x > 1),
    "read by mask": lambda x: x[x > 1],
    "write by mask": lambda x: operator.setitem(x, x > 1, 0),
    "unique": lambda x: strict.unique(x),
    "bincount": lambda x: strict.bincount(x[0].astype(np.int64)),
}


@pytest.mark.parametrize("call", SYNCHRONISING.values(), ids=SYNCHRONISING.keys())
def test_shapes_that_depend_on_data_count_as_synchronising(call, device, counted):
    call(device)
    assert (counted.to_host, counted.to_device, counted.syncs) == (0, 0, 1)


def test_work_on_the_device_counts_nothing(device, counted):
    y = strict.where(device > 3, device, 0) @ device.T
    y[1:, ::2] += 1
    y[y.argmax(axis=0)[:1], 0] = 3
    y *= strict.maximum(y, 0.5, out=y)
    strict.stack([y.max(axis=0), y.min(axis=0)]).reshape(-1)
    assert str(counted) == "Transfers(to_host=0, to_device=0, syncs=0)"


def test_assigning_several_values_to_one_place_is_refused():
    x = strict.zeros(4, np.float32)
    twice = strict.asarray([1, 1, 2])
    with pytest.raises(DeviceSlipError, match="several values"):
        x[twice] = strict.asarray([1.0, 2.0, 3.0])
    x[twice] = strict.asarray([5.0, 5.0, 6.0])  # the same value twice is defined
    x[twice] = np.nan
    np.testing.assert_array_equal(x.get(), np.float32([0, np.nan, np.nan, 0]))


def test_scatter_counts_repeated_indices():
    x = strict.zeros(4, np.float32)
    index = strict.asarray([1, 1, 2])
    strict.add.at(x, index, strict.asarray(np.float32([1, 2, 3])))
    np.testing.assert_array_equal(x.get(), [0, 3, 3, 0])
    strict.maximum.at(x, (index,), 3.5)
    np.testing.assert_array_equal(x.get(), [0, 3.5, 3.5, 0])


def test_results_stay_on_the_device(device):
    on_device = [
        device.sum(),
        device[0, 0],
        strict.sum(device),
        strict.count_nonzero(device),
        strict.allclose(device, device),
        strict.array_equal(device, device),
        strict.linalg.norm(device),
        strict.lib.stride_tricks.as_strided(device, (2, 2), (8, 8)),
        strict.asarray(3.0),
        abs(device),
        -device,
        ~(device > 1),
        *device.nonzero(),
        *strict.meshgrid(device[0], device[1]),
    ]
    assert all(isinstance(value, StrictArray) for value in on_device)
    assert strict.shape(device) == (3, 4)
    assert strict.size(device) == len(device) * 4 == 12
    assert strict.result_type(device, np.float32) == np.float64


def test_views_share_memory_and_copies_do_not(device):
    device[0][1:3] = 7
    device.T[3, 2] = -1
    assert device.get()[0].tolist() == [0, 7, 7, 3]
    assert device[2, 3].item() == -1
    for other in (device.copy(), copy.copy(device), copy.deepcopy(device), strict.array(device)):
        other[...] = 0
    assert device[2, 3].item() == -1
    host = np.zeros(2)
    strict.asarray(host)[...] = 1
    assert host.tolist() == [0, 0]
    device.get()[...] = 9
    assert device[2, 3].item() == -1


def test_in_place_and_out_keep_the_array(device):
    before = device
    device += 1
    device /= strict.asarray(2.0)
    assert device is before
    assert strict.exp(device, out=device) is device
    assert strict.sqrt(device, device) is device
    np.testing.assert_allclose(device.get(), np.sqrt(np.exp((HOST + 1) / 2)))


def test_float32_stays_float32():
    x = strict.ones(3, np.float32)
    for y in (
        x * 2,
        x / 2.5,
        1 - x,
        x**2,
        x.mean(),
        strict.exp(x),
        x * np.float32(2),
        np.float32(2) * x,
    ):
        assert y.dtype == np.float32
    assert (x * np.float64(2)).dtype == np.float64


def test_a_gpu_does_not_warn():
    zero = strict.zeros(2)
    assert np.isnan((zero / zero).get()).all()
    assert np.isinf(strict.log(zero).get()).all()


def test_backend_finds_the_owner(device):
    assert array_module(device, 2.0, np.float32(1)) is strict
    with pytest.raises(TypeError, match="strict"):
        array_module(device, HOST)
    assert isinstance(to_device(HOST, strict), StrictArray)
    assert type(to_cpu(device)) is np.ndarray


def _arguments(function) -> list[str]:
    """Return the names of CuPy's arguments, from the signature or (compiled methods) from the docstring."""
    try:
        return list(inspect.signature(function).parameters)
    except (ValueError, TypeError):
        text = function.__doc__.split("(", 1)[1].split(")")[0]
        return [part.split("=")[0].split()[-1].lstrip("*") for part in text.split(",")]


def test_every_listed_name_and_argument_is_in_cupy():
    cupy = pytest.importorskip(
        "cupy", reason="CuPy is not installed: the list of its names is not checked here"
    )
    for path, names in strict_names.FUNCTIONS.items():
        function = operator.attrgetter(path)(cupy)
        have = _arguments(function)
        if "kwargs" not in have:
            assert {name.lstrip("*") for name in names} <= set(have), path
        positional = [name for name in names if not name.startswith("*")]
        if "kwargs" not in have and len(positional) == len(names):
            assert positional == [name for name in have if name in names], f"{path}: order"
    for name, names in strict_names.METHODS.items():
        have = _arguments(getattr(cupy.ndarray, name))
        assert {name.lstrip("*") for name in names} <= set(have), name
    for name in strict_names.UFUNCS:
        assert isinstance(getattr(cupy, name), cupy.ufunc), name
    for name in strict_names.AT_DTYPES:
        assert getattr(cupy, name)._scatter_op, name
    for name in strict_names.PROPERTIES:
        assert hasattr(cupy.ndarray, name), name
    for name in strict_names.SAME_AS_NUMPY:
        assert hasattr(cupy, name), name
    assert not hasattr(cupy, "errstate")
    assert not hasattr(cupy.ndarray, "__imatmul__")
