"""The model that is pre-trained: a backbone, masked words and sentence order."""

import keras

from sparse_mixer_tf.layers.initializers import kernel_initializer
from sparse_mixer_tf.models.sparse_mixer.backbone import SparseMixerBackbone
from sparse_mixer_tf.models.sparse_mixer.masked_lm import SparseMixerMaskedLM, new_masked_lm_head


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class PretrainingModel(keras.Model):
    """Masked-word logits, and logits of the order of two sentences, from one backbone.

    Inputs are those of the backbone and `mask_positions` int32 `[batch, predictions]`. Outputs are
    `mlm_logits` float32 `[batch, predictions, vocabulary_size]` and, with an order head,
    `order_logits` float32 `[batch, 2]`; class 1 is "in order".

    Args:
        backbone: a `SparseMixerBackbone`.
        order_head: whether there is an order head.

    References:
        [Sparse Mixers](https://arxiv.org/abs/2205.12399),
        sentence order: [ALBERT](https://arxiv.org/abs/1909.11942)
    """

    def __init__(self, backbone: SparseMixerBackbone, order_head: bool = True, **kwargs):
        masked_lm_head = new_masked_lm_head(backbone)
        mask_positions = keras.Input((None,), dtype="int32", name="mask_positions")
        encoded = backbone(backbone.input)
        outputs = {"mlm_logits": masked_lm_head(encoded["sequence_output"], mask_positions)}
        if order_head:
            order_dense = keras.layers.Dense(
                2, kernel_initializer=kernel_initializer(), dtype="float32", name="order_head"
            )
            outputs["order_logits"] = order_dense(encoded["pooled_output"])
        super().__init__(
            inputs={**backbone.input, "mask_positions": mask_positions}, outputs=outputs, **kwargs
        )
        self.backbone = backbone
        self.masked_lm_head = masked_lm_head
        self.order_head = order_head

    def to_masked_lm(self, preprocessor=None) -> SparseMixerMaskedLM:
        """The same layers, without the order head, as a KerasHub task.

        Args:
            preprocessor: a `SparseMixerMaskedLMPreprocessor`; `save_to_preset` then saves the
                vocabulary too.
        """
        return SparseMixerMaskedLM(self.backbone, preprocessor, self.masked_lm_head)

    def get_config(self):
        return {
            "name": self.name,
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "order_head": self.order_head,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        backbone = keras.saving.deserialize_keras_object(config["backbone"], custom_objects)
        return cls(**{**config, "backbone": backbone})
