"""The next batch, fetched while a step computes."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items in their order, each fetched by a thread before it is asked for.

    The first is fetched from now on, each other from when the one before is handed out. Even a
    batch that is ready takes TensorFlow a millisecond of Python to hand over. What goes wrong with
    an item is raised where it would have come.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="one_ahead")
    iterator = iter(items)
    return _handed_out(iterator, thread, thread.submit(next, iterator, _END))


def _handed_out(iterator: Iterator[Item], thread: ThreadPoolExecutor, coming: Future):
    with thread:
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, iterator, _END)
            yield item
