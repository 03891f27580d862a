"""A SentencePiece vocabulary as a language model uses it: text to ids and back, lines kept."""

import itertools
import os
from collections.abc import Sequence

import numpy as np

from pipelines.vocabulary import Vocabulary


class Pieces:
    """SentencePiece ids with [SEP] for each end of a line, which SentencePiece itself forgets.

    Attributes:
        tokenizer: "sentencepiece".
        size: number of pieces.
        model_bytes: the serialised SentencePiece model.
        fingerprint: sha256 of the model, hexadecimal.
    """

    tokenizer = "sentencepiece"

    def __init__(self, vocabulary: Vocabulary):
        self._vocabulary = vocabulary
        self.size, self.model_bytes = vocabulary.size, vocabulary.model_bytes
        self.fingerprint = vocabulary.fingerprint

    @classmethod
    def from_bytes(cls, model_bytes: bytes) -> "Pieces":
        """Reads `model_bytes` back.

        Raises:
            InputError: it is not a SentencePiece model.
        """
        return cls(Vocabulary(model_bytes))

    def encode(self, text: str) -> np.ndarray:
        """The int32 ids of a text, [pieces]."""
        # Not splitlines(): a form feed or a line separator is no end of a line here.
        lines = text.replace("\r\n", "\n").split("\n")
        ids = self._vocabulary.encode_batch(lines, num_threads=os.cpu_count() or 1)
        for line in ids[:-1]:
            line.append(self._vocabulary.sep_id)
        return np.fromiter(itertools.chain.from_iterable(ids), np.int32)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, one line for each [SEP]."""
        lines = [[]]
        for i in map(int, ids):
            if i == self._vocabulary.sep_id:
                lines.append([])
            else:
                lines[-1].append(i)
        return "\n".join(map(self._vocabulary.decode, lines))
