"""Vocabularies of bytes, characters or words, in the order of their first use."""

import functools
import hashlib
import json
import re
from collections.abc import Sequence

import numpy as np

from pipelines.errors import InputError

TOKENIZERS = ("byte", "character", "word")
# The end of a line is a symbol as any other; only among words does it need a spelling.
END_OF_LINE = "<eos>"
_LINE_ENDS = re.compile("\r\n?")
_AROUND_LINE_ENDS = re.compile(" ?\n ?")
_SHOWN_UNKNOWN = 3


def units(tokenizer: str, text: str | bytes) -> np.ndarray | list[str]:
    """The symbols of a text as they are looked up.

    Args:
        tokenizer: "byte", "character" or "word".
        text: any text, or its UTF-8; bytes need not be valid where they are the symbols.

    Returns:
        uint8 [bytes], uint32 [characters], or a list of words with `<eos>` for each end of a line.

    Raises:
        UnicodeDecodeError: bytes that must be UTF-8 are not.
    """
    if tokenizer == "byte":
        is_bytes = isinstance(text, bytes)
        # What a command line could not decode stands in its text as escapes: bytes all the same.
        return np.frombuffer(text if is_bytes else text.encode("utf-8", "surrogateescape"), "u1")
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    if tokenizer == "character":
        return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    return _LINE_ENDS.sub("\n", text).replace("\n", f" {END_OF_LINE} ").split()


class Symbols:
    """A closed vocabulary: what is not in it cannot be encoded.

    Attributes:
        tokenizer: "byte", "character" or "word".
        symbols: list of byte values, characters or words, in the order of their ids.
        size: number of symbols.
        model_bytes: the vocabulary as JSON.
        fingerprint: sha256 of model_bytes, hexadecimal.
    """

    def __init__(self, tokenizer: str, symbols: Sequence[int] | Sequence[str]):
        self.tokenizer, self.symbols, self.size = tokenizer, list(symbols), len(symbols)
        content = {"tokenizer": tokenizer, "symbols": self.symbols}
        self.model_bytes = json.dumps(content).encode()
        self.fingerprint = hashlib.sha256(self.model_bytes).hexdigest()

    @classmethod
    def from_bytes(cls, model_bytes: bytes) -> "Symbols":
        """Reads `model_bytes` back.

        Raises:
            InputError: it is not such a vocabulary.
        """
        try:
            content = json.loads(model_bytes)
            tokenizer, symbols = content["tokenizer"], content["symbols"]
            if not _are_symbols(tokenizer, symbols):
                raise ValueError(tokenizer)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError(
                "the vocabulary is not one of bytes, characters or words; use the one its run wrote"
            ) from None
        return cls(tokenizer, symbols)

    def encode(self, text: str) -> np.ndarray:
        """The int32 ids of a text, [symbols].

        Raises:
            InputError: the text has a symbol that the vocabulary lacks.
        """
        wanted = units(self.tokenizer, text)
        wanted = wanted if isinstance(wanted, list) else wanted.tolist()
        ids = [self._index.get(unit, -1) for unit in wanted]
        if -1 in ids:
            self._refuse([unit for unit, i in zip(wanted, ids, strict=True) if i < 0])
        return np.array(ids, np.int32)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; bytes that are no UTF-8 become replacement characters.

        Words are joined by single spaces, lines by newlines.
        """
        chosen = [self.symbols[int(i)] for i in ids]
        if self.tokenizer == "byte":
            return bytes(chosen).decode("utf-8", "replace")
        if self.tokenizer == "character":
            return "".join(chosen)
        joined = " ".join("\n" if word == END_OF_LINE else word for word in chosen)
        return _AROUND_LINE_ENDS.sub("\n", joined)

    @functools.cached_property
    def _index(self) -> dict:
        codes = map(ord, self.symbols) if self.tokenizer == "character" else self.symbols
        return {unit: i for i, unit in enumerate(codes)}

    def _refuse(self, unknown: list) -> None:
        distinct = list(dict.fromkeys(unknown))
        shown = [_spelling(self.tokenizer, unit) for unit in distinct[:_SHOWN_UNKNOWN]]
        more = f" and {len(distinct) - len(shown)} more" if len(distinct) > len(shown) else ""
        raise InputError(
            f"the text has {', '.join(shown)}{more}, not among the {self.size} symbols that the "
            f"model was trained on (--tokenizer={self.tokenizer}); leave them out or replace them"
        )


def _are_symbols(tokenizer: str, symbols: list) -> bool:
    if tokenizer not in TOKENIZERS or not isinstance(symbols, list) or not symbols:
        return False
    if tokenizer == "byte":
        fit = all(type(symbol) is int and 0 <= symbol < 256 for symbol in symbols)
    else:
        longest = 1 if tokenizer == "character" else None
        fit = all(isinstance(s, str) and s and len(s) <= (longest or len(s)) for s in symbols)
    return fit and len(set(symbols)) == len(symbols)


class SymbolCollector:
    """Encodes texts and meets their symbols: the first symbol seen becomes id 0."""

    def __init__(self, tokenizer: str):
        self._tokenizer = tokenizer
        self._index = {}
        # Of every byte or code point, its id, or -1 where it has not been seen.
        self._table = np.full(256 if tokenizer == "byte" else 0x110000, -1, np.int32)
        self._seen = []

    def encode(self, text: bytes) -> np.ndarray:
        """The int32 ids of a text, [symbols]; symbols not met before are added.

        Raises:
            UnicodeDecodeError: the text is not UTF-8, and bytes are not the symbols.
        """
        wanted = units(self._tokenizer, text)
        if isinstance(wanted, list):
            index = self._index
            for word in dict.fromkeys(wanted):
                index.setdefault(word, len(index))
            return np.fromiter(map(index.__getitem__, wanted), np.int32, len(wanted))
        unmet = wanted[self._table[wanted] < 0]
        values, first = np.unique(unmet, return_index=True)
        values = values[np.argsort(first)]
        self._table[values] = len(self._seen) + np.arange(len(values))
        self._seen += values.tolist()
        return self._table[wanted]

    def finish(self) -> Symbols:
        """The vocabulary of everything that was encoded."""
        if self._tokenizer == "word":
            return Symbols("word", list(self._index))
        is_byte = self._tokenizer == "byte"
        return Symbols(self._tokenizer, self._seen if is_byte else list(map(chr, self._seen)))


def _spelling(tokenizer: str, unit: int | str) -> str:
    if tokenizer == "byte":
        return f"the byte {unit}" + (f" ({chr(unit)!r})" if 32 <= unit < 127 else "")
    return repr(chr(unit) if tokenizer == "character" else unit)
