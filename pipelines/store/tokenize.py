"""Documents to token arrays, in chunks, with all cores."""

import itertools
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from pipelines.tokenizers import sentence_splitter
from pipelines.tokenizers.sentencepiece_model import Vocabulary

# Enough text to keep every thread busy, little enough to be memory of no account.
_CHUNK_CHARACTERS = 4 * 2**20


class TokenChunk(NamedTuple):
    """Tokenised documents of one split.

    Attributes:
        split: "train" or "validation".
        tokens: int32 [tokens]; all documents, one after the other.
        sentence_lengths: int64 [sentences]; at least one token each.
        document_lengths: int64 [documents]; at least one token each.
        characters: of the text they were made from.
    """

    split: str
    tokens: np.ndarray
    sentence_lengths: np.ndarray
    document_lengths: np.ndarray
    characters: int


def tokenise(
    documents: Iterable[tuple[str, str]], words: Vocabulary, sentence_split: str
) -> Iterator[TokenChunk]:
    """Tokenises sentence by sentence; sentences without a token are left out.

    Args:
        documents: (split, text) pairs.
        words: the vocabulary.
        sentence_split: "sentences" or "lines".

    Yields:
        Chunks of the documents of each split, in order.
    """
    waiting, characters = {}, {}
    for split, text in documents:
        waiting.setdefault(split, []).append(sentence_splitter.split(text, sentence_split))
        characters[split] = characters.get(split, 0) + len(text)
        if characters[split] >= _CHUNK_CHARACTERS:
            yield _chunk(split, waiting.pop(split), words, characters.pop(split))
    for split in sorted(waiting):
        yield _chunk(split, waiting[split], words, characters[split])


def _chunk(
    split: str, documents: list[list[str]], words: Vocabulary, characters: int
) -> TokenChunk:
    texts = list(itertools.chain.from_iterable(documents))
    ids = words.encode_batch(texts, num_threads=os.cpu_count() or 1)
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    tokens = np.fromiter(itertools.chain.from_iterable(ids), np.int32, lengths.sum())
    owner = np.repeat(np.arange(len(documents)), [len(document) for document in documents])
    document_lengths = np.bincount(owner, lengths, len(documents)).astype(np.int64)
    return TokenChunk(
        split, tokens, lengths[lengths > 0], document_lengths[document_lengths > 0], characters
    )
