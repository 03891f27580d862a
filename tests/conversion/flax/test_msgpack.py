"""Files of Flax come back as they were written; whatever else is in a file is told in one line."""

import random

import ml_dtypes
import msgpack
import numpy as np
import pytest

from sparse_mixer_tf.conversion.flax import msgpack as flax_msgpack
from sparse_mixer_tf.settings import SettingsError
from tests.optional import import_package

ARRAY = np.arange(6, dtype="float32").reshape(2, 3)


def packed(array=ARRAY, shape=None, dtype=None, content=None, code=1):
    """An array as Flax's extension, with parts of it changed."""
    parts = (
        list(array.shape) if shape is None else shape,
        dtype or array.dtype.name,
        array.tobytes() if content is None else content,
    )
    return msgpack.ExtType(code, msgpack.packb(parts))


def chunked(**changes):
    parts = {
        flax_msgpack.CHUNKED: True,
        "shape": {"0": 2, "1": 3},
        "chunks": {"0": packed(ARRAY.ravel()[:4]), "1": packed(ARRAY.ravel()[4:])},
    }
    return parts | changes


def nested(depth):
    tree = {"w": 1}
    for _ in range(depth):
        tree = {"a": tree}
    return tree


def read(tmp_path, content):
    path = tmp_path / "replicated_checkpoint_1"
    path.write_bytes(content if isinstance(content, bytes) else msgpack.packb(content))
    return flax_msgpack.read(path)


def assert_same_trees(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        if isinstance(value, dict):
            assert_same_trees(value, second[name])
        elif isinstance(value, np.ndarray):
            assert second[name].dtype == value.dtype and second[name].shape == value.shape
            assert second[name].tobytes() == value.tobytes()
        else:
            assert second[name] == value


def test_what_flax_wrote_comes_back(tmp_path, monkeypatch):
    serialization = import_package("flax.serialization")
    rng = np.random.default_rng(0)
    tree = {
        "step": np.int32(7),
        "params": {
            "kernel": rng.normal(size=(3, 4)).astype("float32"),
            "half": rng.normal(size=(2, 2)).astype("float16"),
            "brain": rng.normal(size=(5,)).astype(ml_dtypes.bfloat16),
            "scalar": np.asarray(2.5),
            "empty": np.array([]),
            "large": rng.normal(size=(7, 6)).astype("float32"),
            "deeper": {"fortran": np.asfortranarray(rng.normal(size=(3, 2)))},
        },
        "none": None,
        "number": 3,
        "complex": 1 + 2j,
    }
    # `large` goes into several chunks, the others do not.
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 64)
    path = tmp_path / "checkpoint"
    path.write_bytes(serialization.msgpack_serialize(tree))
    assert flax_msgpack.CHUNKED.encode() in path.read_bytes()
    assert_same_trees(flax_msgpack.read(path), tree)


def test_arrays_written_by_hand_come_back(tmp_path):
    void = packed(ARRAY.astype(ml_dtypes.bfloat16), dtype="void16")
    tree = read(tmp_path, {"a": packed(), "b": chunked(), "c": void})
    for array in tree.values():
        np.testing.assert_array_equal(array.astype("float32"), ARRAY)


WHOLE = msgpack.packb({"params": {"w": packed()}})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "incomplete input"),
        (WHOLE[:-1], "incomplete input"),
        (WHOLE[:20], "incomplete input"),
        (WHOLE + b"abc", "3 bytes follow its end"),
        (b"\xc1" * 20, "FormatError"),
        (b"PK\x03\x04" + bytes(40), "follow its end"),
        ([1, 2], "no tree of parameters"),
        ({1: 2}, "not allowed for map key"),
        ({"w": packed(dtype="object")}, "dtype 'object'"),
        ({"w": packed(dtype="O")}, "dtype 'O'"),
        ({"w": packed(dtype=["float32"])}, "unhashable"),
        ({"w": packed(shape=[2, 4])}, r"shape \[2, 4\] and dtype float32 has not 32 bytes"),
        ({"w": packed(shape=[-2, -3])}, r"has shape \[-2, -3\]"),
        ({"w": packed(shape=[2.0, 3])}, r"has shape \[2.0, 3\]"),
        ({"w": packed(shape=[True, 6])}, r"has shape \[True, 6\]"),
        ({"w": packed(shape=[2**62, 2**62])}, "has not"),
        ({"w": packed(shape=[1] * 64)}, "no shape"),
        ({"w": packed(shape="six")}, "no shape"),
        ({"w": packed(content="text")}, "has not 24 bytes"),
        ({"w": packed(code=9)}, "extension of type 9"),
        ({"w": msgpack.ExtType(1, msgpack.packb(5))}, "not made of shape, dtype and bytes"),
        ({"w": msgpack.ExtType(1, b"\xc1")}, "FormatError"),
        ({"w": msgpack.ExtType(2, msgpack.packb([1]))}, "unpack"),
        (nested(100), "nested too deep"),
        (nested(100_000), "nested too deep"),
        ({"w": chunked(shape={"0": 2, "1": 4})}, "do not make it up"),
        ({"w": chunked(shape={"0": 2, "2": 3})}, "not numbered"),
        ({"w": chunked(shape=None)}, "not numbered"),
        ({"w": chunked(chunks={})}, "there are none"),
        ({"w": chunked(chunks={"0": packed()})}, "not flat"),
        ({"w": chunked(chunks={"0": 5})}, "not flat"),
    ],
)
def test_damage_is_one_line(tmp_path, content, problem):
    if isinstance(content, dict) and list(content) == ["a"]:
        content = _packed_deep(content)
    with pytest.raises(SettingsError, match=problem) as error:
        read(tmp_path, content)
    assert "\n" not in str(error.value) and "replicated_checkpoint_1" in str(error.value)


def _packed_deep(tree) -> bytes:
    """A nest of one-entry maps, deeper than the packer goes."""
    opened = b""
    while isinstance(tree, dict):
        ((name, tree),) = tree.items()
        opened += b"\x81" + msgpack.packb(name)
    return opened + msgpack.packb(tree)


def test_no_change_of_a_byte_does_more_than_fail_in_one_line(tmp_path):
    chooser = random.Random(0)
    for _ in range(400):
        content = bytearray(msgpack.packb({"params": {"w": packed(), "c": chunked()}}))
        for _ in range(chooser.choice((1, 1, 3))):
            content[chooser.randrange(len(content))] = chooser.randrange(256)
        try:
            read(tmp_path, bytes(content))
        except SettingsError as error:
            assert "\n" not in str(error)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match="nothing: No such file"):
        flax_msgpack.read(tmp_path / "nothing")
