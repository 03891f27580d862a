"""Documents as they leave a source, and the account of the records that were no documents."""

import collections
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pipelines.errors import InputError
from pipelines.sources.file_formats import has_surrogate

# Chinese, Japanese, Thai, Lao, Khmer, Burmese and Tibetan are written without spaces.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def count_words(text: str, most: int) -> int:
    """Return the number of words, at most `most`; a character of an unspaced script is a word."""
    found = len(text.split(maxsplit=most))
    if 0 < found < most:
        found = max(found, sum(1 for _ in itertools.islice(_UNSPACED.finditer(text), most)))
    return min(found, most)


class Document(NamedTuple):
    """One document.

    Attributes:
        text: text of at least two words, see `count_words`.
        origin: where it comes from: a file, a library, a data set.
    """

    text: str
    origin: str


class BadRecords:
    """Counts bad records by reason and gives up after too many.

    Attributes:
        counts: Counter of reasons.
        first: where the first one is and what is wrong with it; empty without any.
    """

    def __init__(self, most: int):
        self.counts = collections.Counter()
        self.first = ""
        self._most = most

    def add(self, reason: str, where: str) -> None:
        """Counts one record.

        Args:
            reason: what is wrong with it, a few words.
            where: file and line, or data set and index.

        Raises:
            InputError: more than `most` records are bad.
        """
        self.first = self.first or f"{where}: {reason}"
        self.counts[reason] += 1
        self._refuse_too_many()

    def add_counts(self, counts: Mapping[str, int], first: str) -> None:
        """Counts the records of another part of the data.

        Args:
            counts: of reasons, as in `counts`.
            first: as in `first`.

        Raises:
            InputError: more than `most` records are bad.
        """
        self.first = self.first or first
        self.counts.update(counts)
        self._refuse_too_many()

    def screen(self, text: str, origin: str, where: str) -> Iterator[Document]:
        """Yield the document if it can be used; count it as bad otherwise."""
        words = count_words(text, most=2)
        if has_surrogate(text):
            self.add("lone surrogate", where)
        elif words >= 2:
            yield Document(text, origin)
        else:
            self.add("one word" if words else "empty", where)

    def _refuse_too_many(self) -> None:
        if self.counts.total() > self._most:
            raise InputError(
                f"more than --max_bad_records={self._most} bad records ({self}; first "
                f"{self.first}); mend the data or raise --max_bad_records"
            )

    def __str__(self) -> str:
        return ", ".join(f"{count} {reason}" for reason, count in self.counts.most_common())
