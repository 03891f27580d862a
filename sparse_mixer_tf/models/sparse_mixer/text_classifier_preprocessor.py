"""From raw text, one segment or several, to packed sequences."""

import keras
import keras_hub

from sparse_mixer_tf.models.sparse_mixer.backbone import SparseMixerBackbone
from sparse_mixer_tf.models.sparse_mixer.tokenizer import SparseMixerTokenizer


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class SparseMixerTextClassifierPreprocessor(keras_hub.models.TextClassifierPreprocessor):
    """Tokenizes, packs as `[CLS] a [SEP] b [SEP]` and pads.

    Args:
        tokenizer: a `SparseMixerTokenizer`.
        sequence_length: length of the packed sequences; a model with learned mixing takes exactly
            the `max_sequence_length` of its backbone.
        truncate: `"round_robin"` or `"waterfall"`, how segments share the length.

    Returns:
        `x`, `(x, y)` or `(x, y, sample_weight)` as given; `x` the dict of `token_ids`,
        `segment_ids` and `padding_mask`, all `[batch, seq]`.

    Examples:
    ```python
    preprocessor = SparseMixerTextClassifierPreprocessor(tokenizer, sequence_length=128)
    preprocessor(["The quick brown fox.", "It jumped."])
    preprocessor(x=(["A premise.", "Another."], ["A hypothesis.", "Another."]))
    ```
    """

    backbone_cls = SparseMixerBackbone
    tokenizer_cls = SparseMixerTokenizer

    @classmethod
    def _add_missing_kwargs(cls, loader, kwargs):
        # A preset saved with another task has no configuration of this preprocessor.
        kwargs.setdefault("sequence_length", loader.config["config"]["max_sequence_length"])
        return super()._add_missing_kwargs(loader, kwargs)
