"""A model that belongs to no library: its settings, its arrays, its vocabulary."""

from dataclasses import dataclass, field

import numpy as np

from pipelines.tokenizers.sentencepiece_model import Vocabulary
from sparse_mixer_tf.settings import ModelSettings, SettingsError

MASKED_LM_HEAD, ORDER_HEAD, CLASSIFIER = "masked_lm_head/", "order_head/", "logits/"
POOLER = "pooler/"


@dataclass(frozen=True)
class PlainModel:
    """An encoder and the heads that came with it.

    Attributes:
        origin: where it was read, for people.
        settings: of the encoder.
        vocabulary_size: rows of the word table.
        max_seq_length: rows of the position table.
        weights: float32, by the paths of our models, such as `embedding/token_embedding`. Heads
            begin with `masked_lm_head/`, `order_head/` or `logits/`; the pooler may be missing.
        vocabulary: of the token ids; None: not SentencePiece, or not known.
        step: optimizer steps that it was trained for, as far as they are known.
        pair_objective: what the order head was trained on: `order`, `next` or `none`.
        labels: names of a classifier's classes; empty if they are not known or it has one output.
        names: what weights are called where they come from, by our paths, if it is another name.
        notes: lines that its user should read.
    """

    origin: str
    settings: ModelSettings
    vocabulary_size: int
    max_seq_length: int
    weights: dict[str, np.ndarray]
    vocabulary: Vocabulary | None = None
    step: int = 0
    pair_objective: str = "none"
    labels: tuple[str, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def has(self, part: str) -> bool:
        """Return whether there are weights whose paths begin with a part's name."""
        return any(path.startswith(part) for path in self.weights)


def check_vocabulary(vocabulary: Vocabulary, name: str, origin: str, vocabulary_size: int) -> None:
    """Checks that a vocabulary has as many pieces as a word table has rows.

    Raises:
        SettingsError: it has not.
    """
    if vocabulary.size != vocabulary_size:
        raise SettingsError(
            f"{name} has {vocabulary.size:,} pieces, the word table of {origin} "
            f"{vocabulary_size:,} rows; give the vocabulary that it was trained with"
        )
