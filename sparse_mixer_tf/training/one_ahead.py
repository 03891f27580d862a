"""The next batch, fetched while a step computes."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items in their order; a thread asks for each when the one before is handed out.

    Even a batch that is ready takes TensorFlow a millisecond of Python to hand over. What goes
    wrong with an item is raised where it would have come.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="one_ahead") as thread:
        iterator = iter(items)
        coming = thread.submit(next, iterator, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, iterator, _END)
            yield item
