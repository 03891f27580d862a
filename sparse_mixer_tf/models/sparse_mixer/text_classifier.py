"""Text classifier in KerasHub's form: text in, class logits out."""

import keras
import keras_hub

from sparse_mixer_tf.layers import Dropout
from sparse_mixer_tf.layers.initializers import kernel_initializer
from sparse_mixer_tf.models.sparse_mixer.backbone import SparseMixerBackbone
from sparse_mixer_tf.models.sparse_mixer.text_classifier_preprocessor import (
    SparseMixerTextClassifierPreprocessor,
)


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class SparseMixerTextClassifier(keras_hub.models.TextClassifier):
    """A backbone with a dense layer on its pooled output.

    Args:
        backbone: a `SparseMixerBackbone`.
        num_classes: number of classes; 1 for a regression.
        preprocessor: a `SparseMixerTextClassifierPreprocessor`, or None to feed ids.
        activation: what to apply to the logits, such as `"softmax"`; nothing where None.
        dropout_rate: dropout on the pooled output; none, as in the published models.

    Examples:
    ```python
    classifier = SparseMixerTextClassifier.from_preset("my_preset", num_classes=2)
    classifier.fit(["The quick brown fox.", "It jumped."], [0, 1], batch_size=2)
    classifier.predict(["The quick brown fox."])  # [1, num_classes]
    ```
    """

    backbone_cls = SparseMixerBackbone
    preprocessor_cls = SparseMixerTextClassifierPreprocessor

    def __init__(
        self,
        backbone,
        num_classes,
        preprocessor=None,
        activation=None,
        dropout_rate=0.0,
        **kwargs,
    ):
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.output_dropout = Dropout(
            dropout_rate, dtype=backbone.dtype_policy, name="output_dropout"
        )
        # Logits in float32: a loss on bfloat16 ones would carry two digits.
        self.output_dense = keras.layers.Dense(
            num_classes,
            activation=activation,
            kernel_initializer=kernel_initializer(),
            dtype="float32",
            name="logits",
        )
        pooled = backbone(backbone.input)["pooled_output"]
        outputs = self.output_dense(self.output_dropout(pooled))
        super().__init__(inputs=backbone.input, outputs=outputs, **kwargs)
        self.num_classes = num_classes
        self.activation = keras.activations.get(activation)
        self.dropout_rate = dropout_rate

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "activation": keras.activations.serialize(self.activation),
            "dropout_rate": self.dropout_rate,
        }
