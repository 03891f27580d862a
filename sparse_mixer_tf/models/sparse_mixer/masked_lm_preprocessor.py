"""From raw text to masked sequences."""

import keras
import keras_hub

from sparse_mixer_tf.models.sparse_mixer.backbone import SparseMixerBackbone
from sparse_mixer_tf.models.sparse_mixer.tokenizer import SparseMixerTokenizer


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class SparseMixerMaskedLMPreprocessor(keras_hub.models.MaskedLMPreprocessor):
    """Tokenizes, packs as `[CLS] a [SEP] b [SEP]`, pads, and masks anew at each call.

    Args:
        tokenizer: a `SparseMixerTokenizer`.
        sequence_length: length of the packed sequences; a model with learned mixing takes exactly
            the `max_sequence_length` of its backbone.
        truncate: `"round_robin"` or `"waterfall"`, how segments share the length.
        mask_selection_rate: share of the tokens to predict.
        mask_selection_length: predictions a sequence at most; 80, or the sequence's length where
            that is less, unless given.
        mask_token_rate: share of the predicted tokens that become `[MASK]`.
        random_token_rate: share of the predicted tokens that become a random one.

    Returns:
        `(x, y, sample_weight)`: `x` the dict of `token_ids`, `segment_ids`, `padding_mask`
        `[batch, seq]` and `mask_positions [batch, predictions]`; `y [batch, predictions]` the true
        ids; `sample_weight` 0 where there is nothing to predict.

    Examples:
    ```python
    preprocessor = SparseMixerMaskedLMPreprocessor(tokenizer, sequence_length=128)
    x, y, sample_weight = preprocessor(["The quick brown fox.", "It jumped."])
    ```
    """

    backbone_cls = SparseMixerBackbone
    tokenizer_cls = SparseMixerTokenizer

    def __init__(
        self,
        tokenizer,
        sequence_length=512,
        truncate="round_robin",
        mask_selection_rate=0.15,
        mask_selection_length=None,
        mask_token_rate=0.8,
        random_token_rate=0.1,
        **kwargs,
    ):
        if mask_selection_length is None:
            mask_selection_length = min(80, sequence_length)
        super().__init__(
            tokenizer,
            sequence_length=sequence_length,
            truncate=truncate,
            mask_selection_rate=mask_selection_rate,
            mask_selection_length=mask_selection_length,
            mask_token_rate=mask_token_rate,
            random_token_rate=random_token_rate,
            **kwargs,
        )

    @classmethod
    def _add_missing_kwargs(cls, loader, kwargs):
        # A preset saved with another task has no configuration of this preprocessor.
        kwargs.setdefault("sequence_length", loader.config["config"]["max_sequence_length"])
        return super()._add_missing_kwargs(loader, kwargs)
