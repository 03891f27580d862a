"""A stretch of held-out text, with the experts that took each of its tokens.

Tokens as a person reads them.
"""

import unicodedata
from collections.abc import Sequence

import numpy as np

from pipelines.tokenizers.sentencepiece_model import WORD_BEGINS, readable
from sparse_mixer_tf.analysis.held_out import Look

TOKENS, CHARACTERS = 240, 480
# More are of no weight: a token chooses one or two, and few are chosen by more experts.
_NAMED = 3


class Paragraph:
    """The first tokens of the first rows that come, and who took them.

    Attributes:
        vocabulary: of the ids.
        goes_on: whether rows of the next batch go on where those of the last ended.
        most: tokens that are kept.
    """

    def __init__(self, vocabulary, goes_on: bool):
        self.vocabulary, self.goes_on = vocabulary, goes_on
        self.most = CHARACTERS if are_characters(vocabulary) else TOKENS
        self._ids, self._takers, self._ends = [], {}, []

    def add(self, look: Look) -> None:
        """Adds rows until there are enough; of running text the first row, which goes on."""
        for row in range(1 if self.goes_on else len(look.token_ids)):
            real = np.flatnonzero(look.real[row])[: self.most - len(self._ids)]
            self._ids += look.token_ids[row, real].tolist()
            for name, gates in look.gates.items():
                self._takers.setdefault(name, []).extend(_takers(g) for g in gates[row, real])
            if len(self._ids) >= self.most:
                return
            if len(real):
                self._ends.append(len(self._ids))

    def texts(self) -> list[str]:
        """The tokens, joined they read as the text; rows of examples are lines."""
        texts = running(self.vocabulary, self._ids)
        if not self.goes_on:
            for end in self._ends:
                texts[end - 1] += "\n"
        return texts

    def takers(self, name: str) -> list[list[list]]:
        """For each token `[expert, gate]` of those that took it, the greatest gate first."""
        return self._takers[name]


def _takers(gates: np.ndarray) -> list[list]:
    order = np.argsort(-gates, kind="stable")[:_NAMED]
    return [[int(e), round(float(gates[e]), 3)] for e in order if gates[e] > 0]


_NAMES = {" ": "space", "\n": "new line", "\t": "tab", "\r": "carriage return", "": "nothing"}


def shown(vocabulary, token_id: int) -> str:
    """One token by itself: `cat`, `…ing` inside of a word, `space`, `byte C3`."""
    if not hasattr(vocabulary, "piece"):
        return _symbol(vocabulary, token_id)
    return readable(vocabulary.piece(token_id))


def running(vocabulary, token_ids: Sequence[int]) -> list[str]:
    """Tokens as parts of a text, word breaks as spaces; joined they read as the text."""
    if not hasattr(vocabulary, "piece"):
        texts = [_in_text(vocabulary.decode([i])) for i in token_ids]
        words = vocabulary.tokenizer == "word"
        return [f" {text}" if words and text != "\n" else text for text in texts]
    spaced = []
    for token_id in token_ids:
        piece = vocabulary.piece(token_id).replace(WORD_BEGINS, " ")
        spaced.append(f" {piece}" if vocabulary.is_special[token_id] else piece)
    return spaced


def are_characters(vocabulary) -> bool:
    """Return whether each token is no more than a character."""
    return getattr(vocabulary, "tokenizer", None) in ("byte", "character")


def _symbol(vocabulary, token_id: int) -> str:
    text = vocabulary.decode([token_id])
    if text == "\ufffd" and isinstance(vocabulary.symbols[token_id], int):
        return f"byte {vocabulary.symbols[token_id]:02X}"
    if text in _NAMES:
        return _NAMES[text]
    return text if _is_shown(text) else " ".join(f"U+{ord(c):04X}" for c in text)


def _in_text(text: str) -> str:
    return text if text == "\n" or _is_shown(text) else "\ufffd"


def _is_shown(text: str) -> bool:
    return not any(unicodedata.category(c).startswith("C") for c in text)
