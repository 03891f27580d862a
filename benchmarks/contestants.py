"""The models that `compare` times: ours, those of KerasHub, those of transformers on PyTorch.

Each makes two calls out of the same numbers: one training step (forward, backward, AdamW, dropout
on) and one inference (masked-word logits, dropout off), both on a batch without padding, logits at
the masked positions alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from benchmarks import steps
from pipelines.settings import DataSettings
from sparse_mixer_tf import presets
from sparse_mixer_tf.architecture import lay_out
from sparse_mixer_tf.settings import ModelSettings, TrainingSettings
from sparse_mixer_tf.tasks import Pretraining
from sparse_mixer_tf.tasks.model_factory import model_inputs
from sparse_mixer_tf.training.optimizers import adamw

PREDICTIONS = 80
RATE = 1e-4
# Multiplications of a call in those of a forward pass.
PASSES = {"train": 3, "infer": 1}


@dataclass(frozen=True)
class Options:
    """Options that all contestants share."""

    vocabulary_size: int
    seq: int = 512
    batch: int = 8
    precision: str = "float32"
    way: str = "false"  # of the trainer's --jit_compile
    parts_at_once: int = 1


class Contestant(NamedTuple):
    """Two calls that return when their work is done; work and precision of a forward pass."""

    train: Callable[[], object]
    infer: Callable[[], object]
    flops: float | None = None
    precision: str = "float32"


def batch_of(options: Options) -> dict[str, np.ndarray]:
    """A batch of the contract of `pipelines.schema`."""
    rng = np.random.default_rng(0)
    shape, masks = (options.batch, options.seq), (options.batch, PREDICTIONS)
    ids = rng.integers(10, options.vocabulary_size, shape, dtype=np.int32)
    positions = np.stack([rng.permutation(options.seq)[:PREDICTIONS] for _ in range(options.batch)])
    return {
        "token_ids": ids,
        "segment_ids": np.zeros(shape, np.int32),
        "padding_mask": np.ones(shape, bool),
        "mask_positions": np.sort(positions, axis=1).astype(np.int32),
        "mask_ids": rng.integers(10, options.vocabulary_size, masks, dtype=np.int32),
        "mask_weights": np.ones(masks, np.float32),
        "order_labels": rng.integers(0, 2, options.batch, dtype=np.int32),
        "example_weights": np.ones(options.batch, np.float32),
    }


def paper_models() -> dict[str, ModelSettings]:
    """The published sizes."""
    named = {
        "BERT": "bert_base",
        "FNet": "fnet_base",
        "linear": "linear_base",
        "Sparse Mixer": "sparse_mixer_base",
        "Fast Sparse Mixer": "fast_sparse_mixer_base",
    }
    known = ModelSettings.__dataclass_fields__
    return {
        name: ModelSettings(**{k: v for k, v in presets.get(preset).items() if k in known})
        for name, preset in named.items()
    }


def small_models() -> dict[str, ModelSettings]:
    """Eight layers of width 256, all alike."""
    sizes = {"d_model": 256, "d_ff": 1024, "num_heads": 4, "num_experts": 16}
    mixer = ModelSettings(architecture=lay_out("l", 8, 4, "top", 4, "middle"), **sizes)
    return {
        "BERT": ModelSettings(architecture="8*(sf)", **sizes),
        "FNet": ModelSettings(architecture="8*(rf)", **sizes),
        "linear": ModelSettings(architecture="8*(lf)", **sizes),
        "Sparse Mixer": mixer,
        "Fast Sparse Mixer": replace(mixer, capacity_factor=0.5, eval_capacity_factor=0.5),
    }


def ours(settings: ModelSettings, options: Options) -> Contestant:
    """A model of this project under its own training step."""
    task = Pretraining(
        settings,
        TrainingSettings(train_batch_size=options.batch, precision=options.precision),
        DataSettings(max_seq_length=options.seq, max_predictions_per_seq=PREDICTIONS),
    )
    task.restore(SimpleNamespace(size=options.vocabulary_size), {})
    task.build()
    optimizer = adamw(RATE)
    optimizer.build(task.model.trainable_variables)
    batch = batch_of(options)
    inputs = model_inputs(task.model, batch)
    rows = task.cost_table(options.batch * options.seq)
    return Contestant(
        steps.training_of(task, optimizer, batch, options.way, options.parts_at_once),
        steps.inference_of(task.model, inputs, options.way, lambda outputs: outputs["mlm_logits"]),
        sum(row.flops for row in rows) * options.batch * options.seq,
        options.precision,
    )


def of_keras_hub(name: str, settings: ModelSettings, options: Options) -> Contestant:
    """KerasHub's BERT or FNet at the same sizes."""
    import keras_hub

    sizes = {
        "vocabulary_size": options.vocabulary_size,
        "num_layers": int(
            settings.architecture.split("*")[0]
        ),
        "hidden_dim": settings.d_model,
        "intermediate_dim": settings.d_ff,
        "max_sequence_length": options.seq,
        "num_segments": 4,
        "dtype": options.precision,
    }  # fmt: skip
    models = keras_hub.models
    if name == "BERT":
        backbone = models.BertBackbone(num_heads=settings.num_heads, **sizes)
        model = models.BertMaskedLM(backbone)
    else:
        model = models.FNetMaskedLM(models.FNetBackbone(**sizes))
    batch = batch_of(options)
    inputs = {key: batch[key] for key in model.input}
    return Contestant(
        steps.training_of_model(model, adamw(RATE), inputs, batch["mask_ids"], options.way),
        steps.inference_of(model, inputs, options.way, lambda logits: logits),
    )


def of_transformers(name: str, settings: ModelSettings, options: Options) -> Contestant:
    """BERT or FNet of transformers on PyTorch, eager, at the same sizes."""
    import torch
    import transformers

    sizes = {
        "vocab_size": options.vocabulary_size,
        "num_hidden_layers": int(settings.architecture.split("*")[0]),
        "hidden_size": settings.d_model,
        "intermediate_size": settings.d_ff,
        "max_position_embeddings": options.seq,
        "type_vocab_size": 4,
        "hidden_act": "gelu_new",
    }
    if name == "BERT":
        config = transformers.BertConfig(num_attention_heads=settings.num_heads, **sizes)
        model = transformers.BertForMaskedLM(config)
        encoder = model.bert
    else:
        model = transformers.FNetForMaskedLM(transformers.FNetConfig(**sizes))
        encoder = model.fnet
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    batch = {key: torch.from_numpy(array).to(device) for key, array in batch_of(options).items()}
    positions = batch["mask_positions"].long()[..., None].expand(-1, -1, settings.d_model)
    # PyTorch's FFT on a GPU knows no bfloat16.
    half = options.precision == "mixed_bfloat16" and (name, device) != ("FNet", "cuda")

    def logits():
        with torch.autocast(device, dtype=torch.bfloat16, enabled=half):
            hidden = encoder(batch["token_ids"].long(), token_type_ids=batch["segment_ids"].long())
            return model.cls(torch.gather(hidden[0], 1, positions))

    def train():
        model.train(True)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            logits().float().flatten(0, 1), batch["mask_ids"].long().flatten()
        )
        loss.backward()
        optimizer.step()
        return loss.item()

    def infer():
        model.train(False)
        with torch.inference_mode():
            # One number is read, so that a GPU has to be done.
            return logits().flatten()[0].item()

    return Contestant(train, infer)
