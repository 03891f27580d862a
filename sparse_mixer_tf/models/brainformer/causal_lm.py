"""The language model in KerasHub's form: token ids in, logits out, and text continued."""

import keras
import keras_hub
import numpy as np
from keras import ops

from sparse_mixer_tf.layers.initializers import dense
from sparse_mixer_tf.models.brainformer.backbone import BrainformerBackbone

PROMPT_BLOCK = 256


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class BrainformerCausalLM(keras_hub.models.CausalLM):
    """A `BrainformerBackbone` with a projection to the vocabulary of its own.

    Inputs are those of the backbone. Outputs are a dict of `logits` float32
    `[batch, block, vocabulary_size]`, of the token after each, and `memory` for the next block.

    Args:
        backbone: a `BrainformerBackbone`.
        preprocessor: what makes tokens of text in `generate`, in KerasHub's form, or None.

    Examples:
    ```python
    lm = BrainformerCausalLM(backbone)
    token_ids = keras.ops.ones((2, 64), "int32")
    outputs = lm({"token_ids": token_ids, "memory": backbone.no_memory(2)})
    sampler = keras_hub.samplers.TopPSampler(p=0.9, temperature=0.8, seed=1)
    lm.generate([[72, 101, 108], [87]], max_length=40, sampler=sampler)  # int32 [2, 40]
    ```
    """

    backbone_cls = BrainformerBackbone

    def __init__(self, backbone: BrainformerBackbone, preprocessor=None, **kwargs):
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.output_projection = dense(
            backbone.vocabulary_size,
            "output_projection",
            backbone.dtype_policy,
            backbone.initializer,
            backbone.d_model,
        )
        outputs = backbone(backbone.input)
        logits = ops.cast(self.output_projection(outputs["sequence_output"]), "float32")
        super().__init__(
            inputs=backbone.input, outputs={"logits": logits, "memory": outputs["memory"]}, **kwargs
        )

    def compute_loss(self, x=None, y=None, y_pred=None, *args, **kwargs):
        """The loss of the logits; `fit` takes the tokens after each as targets."""
        return super().compute_loss(x, y, y_pred["logits"], *args, **kwargs)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The metrics of the logits."""
        return super().compute_metrics(x, y, y_pred["logits"], sample_weight)

    def compile_from_config(self, config):
        """A loaded model is compiled anew, since a sampler is not saved with it."""
        self.compile()

    def generate(
        self,
        inputs,
        max_length: int | None = None,
        stop_token_ids="auto",
        strip_prompt: bool = False,
        sampler=None,
    ):
        """Continues prompts; each new token costs the same, however long the text is.

        Args:
            inputs: lists of token ids, one a prompt; texts, where there is a preprocessor; or a
                dict of `token_ids` and `padding_mask` `[batch, max_length]`, as in KerasHub.
            max_length: tokens of prompt and continuation together; needed with lists.
            stop_token_ids: ids that end a text; without a preprocessor nothing does.
            strip_prompt: return the continuation alone.
            sampler: a `keras_hub.samplers.Sampler` or its name; that of `compile` where None.

        Returns:
            Texts where there is a preprocessor; else int32 [batch, max_length], or, of a dict,
            a dict.

        Raises:
            ValueError: a prompt is empty or longer than `max_length`.
        """
        if sampler is not None and sampler is not self.sampler:
            self.sampler = keras_hub.samplers.get(sampler)
            self.generate_function = None
        if self.preprocessor is not None:
            return super().generate(inputs, max_length, stop_token_ids, strip_prompt)
        if stop_token_ids == "auto":
            stop_token_ids = None
        if isinstance(inputs, dict):
            return super().generate(inputs, max_length, stop_token_ids, strip_prompt)
        padded = pad_prompts(inputs, max_length)
        outputs = super().generate(padded, max_length, stop_token_ids)["token_ids"]
        if not strip_prompt:
            return outputs
        return [row[len(prompt) :] for row, prompt in zip(outputs, inputs, strict=True)]

    def make_generate_function(self):
        """The compiled `generate_step`, with the prompts read into memory before it."""
        if self.generate_function is None:
            sample = super().make_generate_function()

            def generate_function(inputs, stop_token_ids=None):
                return sample(
                    {**inputs, "memory": self.read(inputs)}, stop_token_ids=stop_token_ids
                )

            self.generate_function = generate_function
        return self.generate_function

    def read(self, inputs):
        """The memory after all tokens but the last that every prompt has.

        Prompts are read in blocks of halving lengths, so that a few functions serve all lengths.

        Args:
            inputs: dict of `token_ids` and `padding_mask` [batch, max_length].

        Returns:
            [batch, num_memories, attn_span, d_model].
        """
        token_ids = ops.convert_to_numpy(inputs["token_ids"])
        known = int(ops.convert_to_numpy(inputs["padding_mask"]).sum(axis=1).min()) - 1
        memory = self.backbone.no_memory(len(token_ids))
        start, size = 0, PROMPT_BLOCK
        while start < known:
            while size > known - start:
                size //= 2
            block = ops.convert_to_tensor(token_ids[:, start : start + size], "int32")
            memory = self.backbone({"token_ids": block, "memory": memory})["memory"]
            start += size
        return memory

    def generate_step(self, inputs, stop_token_ids=None):
        """Samples token after token, each from a block of one token and the memory.

        Args:
            inputs: dict of `token_ids` and `padding_mask` [batch, max_length], and `memory` after
                all tokens but the last that every prompt has.

        Returns:
            A dict of `token_ids` and `padding_mask`, false after the first stop token.
        """
        token_ids = ops.cast(inputs["token_ids"], "int32")
        padding_mask = ops.cast(inputs["padding_mask"], "bool")

        def next(prompt, cache, index):
            last = ops.slice(prompt, [0, index - 1], [ops.shape(prompt)[0], 1])
            outputs = self({"token_ids": last, "memory": cache})
            return outputs["logits"][:, 0], None, outputs["memory"]

        sampled = self.sampler(
            next=next,
            prompt=token_ids,
            cache=inputs["memory"],
            index=ops.min(ops.sum(ops.cast(padding_mask, "int32"), axis=-1)),
            mask=padding_mask,
            stop_token_ids=stop_token_ids,
            model=self,
        )
        return {
            "token_ids": sampled,
            "padding_mask": before_stop(sampled, padding_mask, stop_token_ids),
        }


def before_stop(token_ids, prompt_mask, stop_token_ids):
    """True up to the first stop token after the prompt, that token included.

    Args:
        token_ids: int32 [batch, length].
        prompt_mask: bool [batch, length].
        stop_token_ids: ids, or None.

    Returns:
        bool [batch, length].
    """
    if stop_token_ids is None:
        return ops.ones_like(prompt_mask)
    stops = ops.zeros_like(prompt_mask)
    for token_id in stop_token_ids:
        stops = ops.logical_or(stops, token_ids == token_id)
    stops = ops.cast(ops.logical_and(stops, ops.logical_not(prompt_mask)), "int32")
    return ops.cumsum(stops, axis=-1) - stops == 0


def pad_prompts(prompts, max_length: int | None) -> dict[str, np.ndarray]:
    """Lists of token ids as the dict that KerasHub generates from.

    Raises:
        ValueError: `max_length` is missing, or a prompt is empty or longer.
    """
    if max_length is None:
        raise ValueError(
            "max_length=None does not fit prompts of token ids: expected the tokens of prompt and "
            "continuation together; set it"
        )
    lengths = np.array([len(prompt) for prompt in prompts])
    if not len(lengths) or lengths.min() < 1 or lengths.max() > max_length:
        raise ValueError(
            f"prompts of {lengths.tolist()} tokens do not fit: expected 1 to "
            f"max_length={max_length} each; give each a token, or raise max_length"
        )
    token_ids = np.zeros((len(lengths), max_length), "int32")
    for row, prompt in zip(token_ids, prompts, strict=True):
        row[: len(prompt)] = prompt
    return {"token_ids": token_ids, "padding_mask": np.arange(max_length) < lengths[:, None]}
