"""Patience with file systems that fail now and then."""

import time
from collections.abc import Callable
from typing import TypeVar

from absl import logging

Result = TypeVar("Result")
ATTEMPTS = 5
# Trying again does not make these succeed.
LASTING = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)


def with_retries(
    action: Callable[[], Result],
    what: str,
    attempts: int = ATTEMPTS,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Calls `action` until it succeeds, waiting 0.5, 1, 2, … seconds after each failure.

    Args:
        what: names the action in the warnings.

    Raises:
        OSError: the last failure, or one that would last.
    """
    for attempt in range(1, attempts + 1):
        try:
            return action()
        except LASTING:
            raise
        except OSError as error:
            if attempt == attempts:
                raise
            seconds = 2.0 ** (attempt - 2)
            logging.warning(
                "%s failed (%s); attempt %d of %d in %.1f s",
                *(what, error, attempt + 1, attempts, seconds),
            )
            sleep(seconds)
    raise ValueError(f"attempts={attempts} must be 1 or more")
