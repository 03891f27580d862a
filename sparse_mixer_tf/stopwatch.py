"""How long a call takes that is compiled when it is first made."""

import time
from collections.abc import Callable


def seconds(call: Callable, repeats: int) -> list[float]:
    """Of `repeats` calls behind a first one; a call returns when its work is done."""
    taken = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return taken[1:]
