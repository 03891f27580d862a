"""Random numbers without state: a value is a function of a key and counters, in any order.

Built on the finaliser of splitmix64, which passes BigCrush on consecutive counters, so position i
of stream k costs one hash and needs nothing that came before it.

References:
    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

import hashlib

import numpy as np

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FEISTEL_ROUNDS = 6


def mix(values: np.ndarray) -> np.ndarray:
    """The bijective finaliser of splitmix64, uint64 to uint64, elementwise."""
    values = values ^ (values >> np.uint64(30))
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def stream_key(seed: int, name: str) -> np.ndarray:
    """The uint64 key of the stream `name` under `seed`; streams of other names are independent."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return np.frombuffer(digest, "<u8").astype(np.uint64)


def fold(key: np.ndarray, *counters: np.ndarray | int) -> np.ndarray:
    """Derives a uint64 key from a key and non-negative counters; all of them broadcast."""
    for counter in counters:
        counter = np.atleast_1d(counter).astype(np.uint64)
        key = mix((counter + np.uint64(1)) * GOLDEN_GAMMA + key)
    return key


def uniform(keys: np.ndarray) -> np.ndarray:
    """Keys to float64 in [0, 1), from their upper 53 bits."""
    return (keys >> np.uint64(11)) * 2.0**-53


def below(keys: np.ndarray, bound: np.ndarray | int) -> np.ndarray:
    """Keys to int64 in [0, bound) for bounds up to 2**31; the bias is below bound / 2**32."""
    return ((keys >> np.uint64(32)) * np.asarray(bound).astype(np.uint64) >> np.uint64(32)).astype(
        np.int64
    )


def permutation(keys: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """Return the image of `index` under the pseudo-random permutation of range(size) of its key.

    A Feistel network permutes the next power of four; values that leave the range walk on along
    their cycle until they are back in it (four steps at most on average). O(1) time and memory.

    Args:
        keys: uint64, broadcastable with index; rows of one key see one permutation.
        index: int64 in [0, size).
        size: number of elements, at least 1.

    Returns:
        int64 in [0, size), of the shape of index; one-to-one for each key.

    References:
        Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002.
    """
    half = np.uint64(max(1, (int(size - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    values = np.array(index, dtype=np.uint64, ndmin=1)
    keys = np.broadcast_to(keys, values.shape)
    walking = np.arange(values.size)
    while walking.size:
        left, right = values[walking] >> half, values[walking] & mask
        for round_number in range(_FEISTEL_ROUNDS):
            left, right = right, left ^ (fold(keys[walking], round_number, right) & mask)
        values[walking] = (left << half) | right
        walking = walking[values[walking] >= size]
    return values.astype(np.int64).reshape(np.shape(index))
