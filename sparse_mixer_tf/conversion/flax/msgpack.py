"""The msgpack files of Flax: trees of arrays, read as the untrusted input that they are.

Flax writes arrays as msgpack extensions: code 1 holds (shape, name of the dtype, bytes) of an
array, 2 the two parts of a complex number, 3 an array without axes for a NumPy scalar. Arrays of
more than 2^30 bytes are cut into a dict of flat chunks.

References:
    [`flax.serialization`](https://flax.readthedocs.io/en/latest/api_reference/flax.serialization.html)
"""

import math
from pathlib import Path

import ml_dtypes
import msgpack
import numpy as np

from sparse_mixer_tf.settings import SettingsError

NDARRAY, COMPLEX, SCALAR = 1, 2, 3
CHUNKED = "__msgpack_chunked_array__"
DTYPES = {
    name: np.dtype(name)
    for name in (
        "bool", "float16", "float32", "float64",
        "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    )
}  # fmt: skip
# NumPy has no bfloat16 of its own and calls one that it does not know void16.
DTYPES |= dict.fromkeys(("bfloat16", "void16", "V2"), np.dtype(ml_dtypes.bfloat16))
MAX_AXES = 32
MAX_DEPTH = 64


def read(path: Path) -> dict:
    """The tree in a file: dicts of dicts, arrays at the leaves.

    Raises:
        SettingsError: the file cannot be read, or is not a whole tree of sound arrays.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    try:
        tree = msgpack.unpackb(content, ext_hook=_extension, raw=False, strict_map_key=True)
        if not isinstance(tree, dict):
            raise ValueError("it holds no tree of parameters")
        return _joined(tree)
    except msgpack.ExtraData as error:
        problem = f"{len(error.extra):,} bytes follow its end"
    except (msgpack.exceptions.StackError, RecursionError):
        problem = "it is nested too deep"
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        problem = " ".join(str(error).split()) or type(error).__name__
    raise SettingsError(
        f"{path} is damaged or no checkpoint of Flax ({problem}); copy it from its source again"
    ) from None


def _extension(code: int, payload: bytes):
    if code == COMPLEX:
        real, imaginary = msgpack.unpackb(payload)
        return complex(real, imaginary)
    if code not in (NDARRAY, SCALAR):
        raise ValueError(f"its extension of type {code} is unknown")
    parts = msgpack.unpackb(payload, raw=False)
    if not isinstance(parts, list) or len(parts) != 3:
        raise ValueError("an array of it is not made of shape, dtype and bytes")
    shape, dtype, content = parts
    if dtype not in DTYPES:
        raise ValueError(f"an array of it has dtype {dtype!r}")
    _check_shape(shape)
    expected = math.prod(shape) * DTYPES[dtype].itemsize
    if not isinstance(content, bytes) or len(content) != expected:
        raise ValueError(f"an array of shape {shape} and dtype {dtype} has not {expected:,} bytes")
    return np.frombuffer(content, DTYPES[dtype]).reshape(shape)


def _check_shape(shape) -> None:
    if not isinstance(shape, list) or len(shape) > MAX_AXES:
        raise ValueError("an array of it has no shape")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"an array of it has shape {shape}")


def _joined(tree: dict, depth: int = 0) -> dict:
    """The tree with its chunked arrays whole."""
    if depth > MAX_DEPTH:
        raise ValueError("it is nested too deep")
    return {
        name: _whole(value)
        if isinstance(value, dict) and CHUNKED in value
        else _joined(value, depth + 1)
        if isinstance(value, dict)
        else value
        for name, value in tree.items()
    }


def _whole(parts: dict) -> np.ndarray:
    shape, chunks = (_in_order(parts.get(name)) for name in ("shape", "chunks"))
    _check_shape(shape)
    if not all(isinstance(chunk, np.ndarray) and chunk.ndim == 1 for chunk in chunks):
        raise ValueError("a chunk of an array is not flat")
    if len({chunk.dtype for chunk in chunks}) != 1:
        raise ValueError("the chunks of an array have several dtypes, or there are none")
    if sum(chunk.size for chunk in chunks) != math.prod(shape):
        raise ValueError(f"the chunks of an array of shape {shape} do not make it up")
    return np.concatenate(chunks).reshape(shape)


def _in_order(numbered) -> list:
    """The values of `{"0": …, "1": …}`."""
    if not isinstance(numbered, dict) or set(numbered) != set(map(str, range(len(numbered)))):
        raise ValueError("a chunked array of it is not numbered")
    return [numbered[str(index)] for index in range(len(numbered))]
