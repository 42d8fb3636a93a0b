"""PyTorch files without PyTorch: both containers come back as they were; what is broken or hostile is refused."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from weight_files import (
    Call,
    Name,
    Storage,
    Tensor,
    dumps,
    tensors,
    write_stream,
    write_zip,
)

from minissd.errors import InputError
from minissd.models.weights import pickle_machine, read_weights
from minissd.models.weights.pth import read_pth

CONTAINERS = {"zip": write_zip, "stream": write_stream}
STATE = "torch._utils"


@pytest.fixture(params=CONTAINERS)
def write(request):
    return CONTAINERS[request.param]


def arrays(rng):
    return {
        "conv.weight": rng.standard_normal((4, 3, 2, 5)).astype(np.float32),
        "conv.bias": rng.standard_normal(4),
        "half": rng.standard_normal((2, 3)).astype(np.float16),
        "bn.num_batches_tracked": np.array(7),
        "empty": np.zeros((0, 3), np.float32),
    }


def test_comes_back_as_it_was(write, rng, tmp_path):
    saved = arrays(rng)
    loaded = read_weights(write(tmp_path / "x.pth", tensors(saved))).tensors
    assert list(loaded) == list(saved)
    for name, array in saved.items():
        assert loaded[name].numpy().dtype == array.dtype
        np.testing.assert_array_equal(loaded[name].numpy(), array, err_msg=name)


def test_windows_on_one_storage(write, tmp_path):
    """Strided, transposed, shifted, expanded and shared, as slices of a tensor are saved."""
    numbers = np.arange(24, dtype=np.float32)
    block = Storage("0", numbers)
    state = {
        "whole": Tensor(block, 0, (4, 6), (6, 1)),
        "transposed": Tensor(block, 0, (6, 4), (1, 6)),
        "rows": Tensor(block, 6, (2, 6), (6, 1), "_rebuild_tensor"),
        "holes": Tensor(block, 1, (4, 3), (6, 2)),
        "same": Tensor(block, 5, (2, 3), (0, 0)),
        "scalar": Tensor(block, 23, (), ()),
    }
    loaded = read_pth(write(tmp_path / "x.pth", state)).tensors
    grid = numbers.reshape(4, 6)
    expected = [grid, grid.T, grid[1:3], grid[:, 1::2], np.full((2, 3), 5), np.array(23)]
    for tensor, array in zip(loaded.values(), expected, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), array)


def test_a_view_of_a_storage_as_in_files_of_2017(tmp_path):
    block = Storage("9", np.arange(10, dtype=np.float32), view=("11", 4, 3))
    path = write_stream(tmp_path / "x.pth", {"a": Tensor(block, 1, (2,), (1,))})
    np.testing.assert_array_equal(read_pth(path).tensors["a"].numpy(), [5, 6])
    block.view = ("11", 8, 3)
    with pytest.raises(InputError, match="a view of storage 9 reaches beyond it"):
        read_pth(write_stream(path, {"a": Tensor(block, 0, (2,), (1,))}))


def test_a_tensor_on_a_storage_of_bytes(write, tmp_path):
    numbers = np.arange(6, dtype="<i2")
    block = Storage("0", numbers.view("<u1"), "UntypedStorage")
    shape, strides = (2, 2), (3, 1)
    state = {"a": Tensor(block, 1, shape, strides, "_rebuild_tensor_v3", "int16")}
    loaded = read_pth(write(tmp_path / "x.pth", state)).tensors["a"]
    np.testing.assert_array_equal(loaded.numpy(), numbers.reshape(2, 3)[:, 1:])
    for offset, dtype in (2, "int16"), (0, "int32"), (1, "float64"):
        state["a"] = Tensor(block, offset, shape, strides, "_rebuild_tensor_v3", dtype)
        with pytest.raises(InputError, match=r"a: shape .* reaches .* but only"):
            read_pth(write(tmp_path / "x.pth", state))
    state["a"].dtype = "complex64"
    with pytest.raises(InputError, match=r"asks for torch\.complex64"):
        read_pth(write(tmp_path / "x.pth", state))


def test_names_of_python_2(tmp_path):
    """Its text is written as bytes with a length of one byte."""
    path = write_stream(tmp_path / "x.pth", tensors({"conv.weight": np.ones(2, np.float32)}))
    new = b"X" + struct.pack("<I", 11) + b"conv.weight"
    data = path.read_bytes()
    assert new in data
    path.write_bytes(data.replace(new, b"U\x0bconv.weight"))
    assert list(read_pth(path).tensors) == ["conv.weight"]


def test_bfloat16_is_the_upper_half_of_a_float32(write, tmp_path):
    numbers = np.array([1.0, -2.5, 0.0, 3e38], np.float32)
    upper = (numbers.view(np.uint32) >> 16).astype("<i2")
    block = Storage("0", upper, "BFloat16Storage")
    loaded = read_pth(write(tmp_path / "x.pth", {"a": Tensor(block, 0, (4,), (1,))})).tensors["a"]
    np.testing.assert_allclose(loaded.numpy(), numbers, rtol=2**-7)
    assert loaded.numpy().dtype == np.float32


def test_a_big_endian_writer(tmp_path):
    saved = {"a": np.array([1.5, 2.5], np.float32)}
    path = write_zip(tmp_path / "x.pth", tensors(saved), byteorder="big")
    loaded = read_pth(path).tensors["a"].numpy()
    np.testing.assert_array_equal(loaded, saved["a"])
    assert loaded.dtype.isnative


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict"])
def test_a_checkpoint_is_opened(write, wrapper, tmp_path):
    state = tensors({"module.a": np.ones(2, np.float32), "module.b": np.ones(3, np.float32)})
    top = {"epoch": 3, wrapper: state, "optimizer": {"state": {0: 1}, "lr": 0.1}}
    file = read_pth(write(tmp_path / "x.pth", top))
    assert list(file.tensors) == ["a", "b"]  # and the wrapper of several GPUs is taken off
    assert file.skipped == ["epoch", "optimizer"]


def test_an_ordered_dict_of_python_2(tmp_path):
    """It pickles as a list of pairs, not as items that are set."""
    block = Storage("0", np.ones(2, np.float32))
    pairs = [["a", Tensor(block, 0, (2,), (1,))]]
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", dumps(Call(Name("collections", "OrderedDict"), (pairs,))))
        archive.writestr("x/data/0", block.data.tobytes())
    assert list(read_pth(path).tensors) == ["a"]


HOSTILE = {
    "os.system": Call(Name("os", "system"), ("touch {}",)),
    "posix.system": Call(Name("posix", "system"), ("touch {}",)),
    "builtins.eval": Call(Name("builtins", "eval"), ("open('{}', 'w')",)),
    "builtins.getattr": Call(Name("builtins", "getattr"), (Name("os", "system"), "__call__")),
    "subprocess.Popen": Call(Name("subprocess", "Popen"), (("touch", "{}"),)),
    "torch.os.system": Call(Name("torch", "os.system"), ("touch {}",)),
    "torch._utils.importlib.import_module": Call(
        Name("torch._utils", "importlib.import_module"), ("os",)
    ),
    "torch.hub.load": Call(Name("torch.hub", "load"), ("a/b", "c")),
    "torch.storage._load_from_bytes": Call(
        Name("torch.storage", "_load_from_bytes"), (b"\x80\x02.",)
    ),
    "torch.load": Call(Name("torch", "load"), ("{}",)),
    "numpy.core.multiarray._reconstruct": Call(
        Name("numpy.core.multiarray", "_reconstruct"), (Name("numpy", "ndarray"), (0,), b"b")
    ),
    "torch.nn.modules.conv.Conv2d": Name("torch.nn.modules.conv", "Conv2d"),
    "collections.OrderedDict.fromkeys": Call(Name("collections", "OrderedDict.fromkeys"), ((),)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pickle_that_asks_for_code_is_refused_by_name(write, name, tmp_path):
    trace = tmp_path / "it_ran"
    call = HOSTILE[name]
    if isinstance(call, Call):
        arguments = [a.format(trace) if isinstance(a, str) else a for a in call.arguments]
        call = Call(call.function, tuple(arguments))
    state = tensors({"a": np.ones(2, np.float32)}) | {"evil": call}
    path = write(tmp_path / "mine.pth", state)
    with pytest.raises(InputError) as caught:
        read_weights(path)
    assert f"mine.pth: its pickle asks for {name}, which is not allowed" in str(caught.value)
    assert not trace.exists()


def test_a_name_put_together_on_the_stack_is_refused_too(tmp_path):
    path = tmp_path / "x.pth"
    program = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", program)
    with pytest.raises(InputError, match=r"asks for os\.system, which is not allowed"):
        read_pth(path)


CUT = "truncated or damaged: its pickle cannot be followed"
BOMBS = {
    "text beyond the file": (b"X" + struct.pack("<I", 0xFFFFFFF0) + b"a", CUT),
    "text of eight-byte length": (b"\x8d" + struct.pack("<Q", 1 << 62) + b"a", CUT),
    "bytes beyond the file": (b"B" + struct.pack("<I", 0xFFFFFFF0) + b"a", CUT),
    "a huge number": (b"\x8b" + struct.pack("<I", 20_000) + b"\x7f" * 20_000, "159,999 bits"),
    "bytearray": (b"\x96" + struct.pack("<Q", 1 << 40), CUT),
    "bytearray that is there": (b"\x96" + struct.pack("<Q", 1) + b"a", "BYTEARRAY8 is not allowed"),
    "memo without an entry": (b"}r\xff\xff\xff\xff" + b"h\x07", CUT),
    "extension": (b"\x82\x01", "EXT1 is not allowed"),
    "new object": (b"ccollections\nOrderedDict\n)\x81", "NEWOBJ is not allowed"),
    "call of what is no name": (b")R", CUT),
    "call of a number": (b"K\x01)R", "calls something that is not a name"),
    "call of a storage": (b"ctorch\nFloatStorage\n)R", "FloatStorage, which is not a function"),
    "name that is a list": (b"]]\x93", "something that is not a name"),
    "attributes of a number": (b"K\x01}b", "sets attributes"),
    "a list as a key": (b"}]K\x01s", "key is a list"),
    "a deep tuple as a key": (b"})" + b"\x85" * 20_000 + b"K\x01s", "key is a tuple"),
    "items of a list": (b"]K\x01K\x02s", "fills something that is not a dictionary"),
    "append to a dictionary": (b"}K\x01a", "appends to something"),
    "empty stack": (b"0", CUT),
    "mark as a value": (b"}K\x01(s", "stack does not add up"),
    "nested deeply": (b"]" * 20_000 + b"a" * 19_999, "holds a list"),
    "a long program": (b"N0" * 600, "goes on for too long"),
    "no end": (b"}" * 10, "its pickle cannot be followed"),
}


@pytest.mark.filterwarnings("ignore:invalid escape:DeprecationWarning")  # from pickletools
@pytest.mark.parametrize("what", BOMBS)
def test_a_pickle_that_would_fill_the_memory_is_refused(what, tmp_path, monkeypatch):
    monkeypatch.setattr(pickle_machine, "MOST_INSTRUCTIONS", 1000 if "long" in what else 50_000)
    path, (body, fault) = tmp_path / "x.pth", BOMBS[what]
    end = b"" if what == "no end" else b"."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x04" + body + end)
        archive.writestr("x/version", "3")
    with pytest.raises(InputError, match=rf"x\.pth: .*{fault}"):
        read_pth(path)


@pytest.mark.parametrize(
    "change, fault",
    [
        ({"shape": (7, 4)}, "beyond its storage"),
        ({"strides": (5, 1)}, "beyond its storage"),
        ({"offset": 1}, "beyond its storage"),
        ({"offset": -1}, "not a storage"),
        ({"strides": (-4, 1)}, "whole numbers from 0 on"),
        ({"shape": (2, 2, 6)}, "whole numbers from 0 on"),
        ({"shape": (1 << 62, 1 << 62), "strides": (0, 0)}, "larger than"),
        ({"shape": (1 << 30, 1 << 30), "strides": (0, 0)}, "larger than"),
        ({"shape": (True, 4)}, "whole numbers from 0 on"),
        ({"shape": 4}, "shape is not a tuple"),
        ({"function": "_rebuild_tensor_v9"}, r"torch\._utils\._rebuild_tensor_v9"),
    ],
)
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(write, change, fault, tmp_path):
    settings = {"offset": 0, "shape": (6, 4), "strides": (4, 1), **change}
    state = {"a": Tensor(Storage("0", np.zeros(24, np.float32)), **settings)}
    with pytest.raises(InputError, match=fault):
        read_pth(write(tmp_path / "x.pth", state))


@pytest.mark.parametrize("claimed", [0, 23, 25, 1 << 40, 1 << 62, -1])
def test_a_storage_that_claims_another_length_is_refused(write, claimed, tmp_path):
    block = Storage("0", np.zeros(24, np.float32), claimed=claimed)
    with pytest.raises(InputError, match=r"x\.pth: .*storage"):
        read_pth(write(tmp_path / "x.pth", {"a": Tensor(block, 0, (6, 4), (4, 1))}))


def test_truncated_anywhere_is_refused_by_name(write, rng, tmp_path):
    path = write(tmp_path / "cut.pth", tensors(arrays(rng)))
    whole = path.read_bytes()
    for keep in [*range(0, len(whole) - 1, 37), len(whole) - 1]:
        path.write_bytes(whole[:keep])
        with pytest.raises(InputError, match=r"cut\.pth: "):
            read_weights(path)


def test_damaged_anywhere_is_read_or_refused(write, rng, tmp_path):
    """Whatever the bytes: an answer or an InputError, never another error."""
    path = write(tmp_path / "x.pth", tensors(arrays(rng)))
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for _ in range(150):
        bad = whole.copy()
        bad[rng.integers(len(bad), size=2)] = rng.integers(256, size=2)
        path.write_bytes(bad.tobytes())
        try:
            read_weights(path)
        except InputError:
            refused += 1
    assert refused > 50


def test_a_changed_number_fails_the_archives_checksum(tmp_path):
    path = write_zip(tmp_path / "x.pth", tensors({"a": np.full(50, 1.25, np.float32)}))
    data = path.read_bytes()
    number = np.float32(1.25).tobytes()
    path.write_bytes(data.replace(number * 50, number * 49 + np.float32(1.5).tobytes()))
    with pytest.raises(InputError, match="data/0: damaged"):
        read_pth(path)


def rewritten(path, change):
    """Write a zip file again, with another set of (name, content, compression)."""
    with zipfile.ZipFile(path) as archive:
        entries = [
            (info.filename, archive.read(info), zipfile.ZIP_STORED) for info in archive.infolist()
        ]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content, compression in change(entries):
            archive.writestr(name, content, compression)


@pytest.mark.parametrize(
    "change, fault",
    [
        (lambda e: [(n, c, zipfile.ZIP_DEFLATED) for n, c, _ in e], "compressed"),
        (lambda e: [each for each in e if "data/0" not in each[0]], "storage 0 is not in the"),
        (lambda e: [each for each in e if "data.pkl" not in each[0]], "not one of PyTorch"),
        (lambda e: [*e, ("archive/constants.pkl", b"", 0)], "TorchScript"),
        (lambda e: [*e, ("other/data.pkl", b"", 0)], "not one of PyTorch"),
    ],
)
def test_another_archive_is_refused(change, fault, tmp_path):
    path = write_zip(tmp_path / "x.pth", tensors({"a": np.ones(50, np.float32)}))
    rewritten(path, change)
    with pytest.raises(InputError, match=fault):
        read_pth(path)


def test_other_files_are_refused_by_what_they_are(tmp_path):
    path = tmp_path / "x.pth"
    cases = {
        b"": "empty",
        b"\0" * 257 + b"ustar" + b"\0" * 300: "tar archive",
        pickle.dumps({"a": 1}, 2): "not a PyTorch file",
        pickle.dumps(np.ones(3), 2): r"numpy\S+_reconstruct, which is not allowed",
        b"\x89HDF\r\n\x1a\n" + b"\0" * 50: "HDF5",
        b"<!DOCTYPE html>": "a web page",
    }
    for content, fault in cases.items():
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"x\.pth: .*{fault}"):
            read_weights(path)
    with pytest.raises(InputError, match="is a folder"):
        read_weights(tmp_path)
    with pytest.raises(InputError, match=r"nothing\.pth: cannot be read"):
        read_weights(tmp_path / "nothing.pth")


@pytest.mark.parametrize("top", [[1, 2], {"epoch": 3}, 5, OrderedDict(), {"model": {"lr": 1}}])
def test_a_file_without_tensors_is_refused(write, top, tmp_path):
    with pytest.raises(InputError, match="holds"):
        read_pth(write(tmp_path / "x.pth", top))
