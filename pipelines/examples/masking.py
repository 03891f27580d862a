"""Masked-word prediction: which positions are predicted, and what is shown there instead.

References:
    Devlin et al., "BERT: Pre-training of deep bidirectional transformers", NAACL 2019.
"""

import numpy as np

from pipelines import random_streams
from pipelines.settings import DataSettings
from pipelines.tokenizers.sentencepiece_model import Vocabulary

# A sorting key is a random number with the position in its low bits.
_POSITION_BITS = np.uint64(20)
_POSITION_MASK = np.uint64((1 << 20) - 1)
_NEVER = np.uint64(2**64 - 1)


def num_to_predict(num_tokens: np.ndarray, settings: DataSettings) -> np.ndarray:
    """min(max_predictions_per_seq, max(1, floor(masking_rate * num_tokens))), int64."""
    wanted = np.floor(settings.masking_rate * num_tokens).astype(np.int64)
    return np.minimum(settings.num_predictions, np.maximum(1, wanted))


def mask(
    token_ids: np.ndarray,
    lengths: np.ndarray,
    keys: np.ndarray,
    words: Vocabulary,
    settings: DataSettings,
) -> dict[str, np.ndarray]:
    """Masks a batch.

    The number of predictions counts every token of a row, [CLS] and [SEP] included; the positions
    are drawn uniformly without replacement among those that are neither padding nor a special
    piece, of which there may be fewer. Of the chosen, `mask_token_proportion` show [MASK],
    `random_token_proportion` a uniform draw of the vocabulary's normal pieces, the rest themselves.

    Args:
        token_ids: int32 [batch, seq], padded.
        lengths: int64 [batch]; tokens of each row.
        keys: uint64 [batch]; all of a row's randomness.
        words: the vocabulary of the ids.
        settings: rate, proportions, number of slots.

    Returns:
        token_ids int32 [batch, seq] with masks applied, and mask_positions int32, mask_ids int32,
        mask_weights float32, all [batch, predictions], positions ascending.
    """
    slots = settings.num_predictions
    columns = np.arange(token_ids.shape[1])
    eligible = (columns < lengths[:, None]) & ~words.is_special[token_ids]
    positions = _choose(eligible, random_streams.fold(keys, 0), slots)
    count = np.minimum(num_to_predict(lengths, settings), eligible.sum(axis=1))
    used = np.arange(slots) < count[:, None]
    # Unused slots sort behind every position.
    positions = np.sort(np.where(used, positions, token_ids.shape[1]), axis=1)
    positions = np.where(used, positions, 0)
    rows = np.arange(len(token_ids))[:, None]
    original = token_ids[rows, positions]
    shown = _shown(original, positions, random_streams.fold(keys, 1), words, settings)
    masked = token_ids.copy()
    masked[np.broadcast_to(rows, used.shape)[used], positions[used]] = shown[used]
    return {
        "token_ids": masked,
        "mask_positions": positions.astype(np.int32),
        "mask_ids": np.where(used, original, 0).astype(np.int32),
        "mask_weights": used.astype(np.float32),
    }


def _choose(eligible: np.ndarray, keys: np.ndarray, slots: int) -> np.ndarray:
    """Eligible positions of each row in random order, int64 [batch, slots]; the others last."""
    columns = np.arange(eligible.shape[1], dtype=np.uint64)
    random = random_streams.fold(keys[:, None], columns) & ~_POSITION_MASK | columns
    order = np.sort(np.where(eligible, random, _NEVER), axis=1)[:, :slots]
    return (order & _POSITION_MASK).astype(np.int64)


def _shown(
    original: np.ndarray,
    positions: np.ndarray,
    keys: np.ndarray,
    words: Vocabulary,
    settings: DataSettings,
) -> np.ndarray:
    draws = random_streams.fold(keys[:, None], positions)
    kind = random_streams.uniform(draws)
    random = words.normal_ids[
        random_streams.below(random_streams.fold(draws, 0), len(words.normal_ids))
    ]
    mask_share = settings.mask_token_proportion
    random_share = mask_share + settings.random_token_proportion
    shown = np.where(kind < random_share, random, original)
    return np.where(kind < mask_share, words.mask_id, shown)
