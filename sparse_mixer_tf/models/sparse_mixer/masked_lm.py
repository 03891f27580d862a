"""Masked language model in KerasHub's form: text in, logits of the masked words out."""

import keras
import keras_hub

from sparse_mixer_tf.layers import MaskedLMHead
from sparse_mixer_tf.models.sparse_mixer.backbone import SparseMixerBackbone
from sparse_mixer_tf.models.sparse_mixer.masked_lm_preprocessor import (
    SparseMixerMaskedLMPreprocessor,
)


def new_masked_lm_head(backbone: SparseMixerBackbone) -> MaskedLMHead:
    """A masked-word head on the backbone's word table; its gelu is the backbone's kind of gelu."""
    return MaskedLMHead(
        backbone.token_embedding,
        activation="gelu_exact" if backbone.activation == "gelu_exact" else "gelu",
        layer_norm_epsilon=backbone.layer_norm_epsilon,
        dtype=backbone.dtype_policy,
        name="masked_lm_head",
    )


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class SparseMixerMaskedLM(keras_hub.models.MaskedLM):
    """A backbone with the masked-word head, whose output matrix is the word table.

    Args:
        backbone: a `SparseMixerBackbone`.
        preprocessor: a `SparseMixerMaskedLMPreprocessor`, or None to feed ids.
        masked_lm_head: a `MaskedLMHead` on the backbone's embedding; a new one where None.

    Examples:
    ```python
    masked_lm = SparseMixerMaskedLM.from_preset("my_preset")
    masked_lm.fit(["The quick brown fox.", "It jumped."], batch_size=2)
    masked_lm.predict(["The quick brown fox."])  # [1, predictions, vocabulary_size]
    ```

    References:
        [BERT](https://arxiv.org/abs/1810.04805)
    """

    backbone_cls = SparseMixerBackbone
    preprocessor_cls = SparseMixerMaskedLMPreprocessor

    def __init__(self, backbone, preprocessor=None, masked_lm_head=None, **kwargs):
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.masked_lm_head = masked_lm_head or new_masked_lm_head(backbone)
        inputs = {
            **backbone.input,
            "mask_positions": keras.Input((None,), dtype="int32", name="mask_positions"),
        }
        sequence = backbone(backbone.input)["sequence_output"]
        outputs = self.masked_lm_head(sequence, inputs["mask_positions"])
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
