"""Causal language modelling: the next symbol of running text, block by block."""

import dataclasses
import math
from pathlib import Path

import numpy as np
from keras import ops

from pipelines.datasets import causal_lm as streams
from pipelines.errors import InputError
from pipelines.schema import ArraySpec, causal_batch
from pipelines.settings import DataSettings
from pipelines.store.lm_corpus import Corpus, open_corpus, read_vocabulary
from pipelines.tokenizers import sentencepiece_model
from sparse_mixer_tf.cost_model import Cost, causal_lm_table
from sparse_mixer_tf.layers import growing_num_selected_experts
from sparse_mixer_tf.metrics.ngram_baseline import ngram_bits_per_symbol
from sparse_mixer_tf.models import BrainformerBackbone, BrainformerCausalLM
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.tasks.base import Task
from sparse_mixer_tf.tasks.generation import continue_texts, make_sampler, sample_lines
from sparse_mixer_tf.tasks.model_factory import (
    forward,
    routing_metrics,
    routing_settings,
    routing_summary,
    routing_sums,
)
from sparse_mixer_tf.training.losses import cross_entropy_sums

_PROMPT, _CONTINUATION = 64, 120
_SPAN_UNIT = 64
# The n-gram model beside the score reads no more than this; its time grows with the text.
_BASELINE_SYMBOLS = 10_000_000
_NGRAM = 5


class LanguageModel(Task):
    """See `tasks.task.Task`."""

    def __init__(self, model_settings, training_settings, data_settings):
        super().__init__(model_settings, training_settings, data_settings)
        self._corpus = self._baseline = None
        self._sampler = make_sampler("top_p")

    @property
    def tokens_per_row(self) -> int:
        """See `Task`."""
        return self.data_settings.block_size

    @property
    def vocabulary_size(self) -> int:
        """See `Task`; of bytes there are at most 256."""
        if self.vocabulary is None and self.data_settings.tokenizer == "byte":
            return 256
        return super().vocabulary_size

    @property
    def vocabulary_file(self) -> str:
        """See `Task`."""
        pieces = self.data_settings.tokenizer == "sentencepiece"
        return "vocabulary/spm.model" if pieces else "vocabulary/symbols.json"

    def read_vocabulary(self, path: Path):
        """See `Task`."""
        return read_vocabulary(sentencepiece_model.read_bytes(path))

    def open_data(self, settings: DataSettings | None = None) -> None:
        """See `Task`; the text is tokenised where it has not been."""
        self.data_settings = settings or self.data_settings
        corpus = open_corpus(self.data_settings)
        words = corpus.vocabulary
        if self.vocabulary and self.vocabulary.fingerprint != words.fingerprint:
            raise InputError(
                f"--dataset={self.data_settings.dataset} has other symbols than the run was "
                "trained on; score it on the text that it was trained on, or predict"
            )
        self._corpus = corpus
        self.restore(
            words,
            {
                "vocabulary_fingerprint": words.fingerprint,
                "data_fingerprint": corpus.data_fingerprint,
            },
        )

    def suppose_data(self) -> None:
        """See `Task`; nothing but the symbols matters."""

    def batch_schema(self, batch_size: int, evaluation: bool = False) -> dict[str, ArraySpec]:
        """See `Task`."""
        return causal_batch(self.data_settings, batch_size, evaluation)

    def build(self) -> None:
        """See `Task`."""
        model = self.model_settings
        try:
            backbone = BrainformerBackbone(
                vocabulary_size=self.vocabulary_size,
                architecture=model.architecture,
                d_model=model.d_model,
                d_ff=model.d_ff,
                num_heads=model.num_heads,
                attn_span=model.attn_span,
                expert_d_ff=model.expert_d_ff,
                dropout_rate=model.dropout_rate,
                routing=routing_settings(model),
                share_block_weights=model.share_block_weights,
                attend_to_self=model.attend_to_self,
                adapt_span=model.adapt_span,
                adapt_span_ramp=model.adapt_span_ramp,
                adapt_span_init=model.adapt_span_init,
                adapt_span_loss=model.adapt_span_loss,
                norm=model.norm,
                activation=model.activation,
                initializer=model.initializer,
                dtype=self.settings.precision,
            )
        except ValueError as error:
            raise SettingsError(f"--task=causal_lm: {error}") from None
        self.model = BrainformerCausalLM(backbone)

    def cost_table(self, tokens: int) -> list[Cost]:
        """See `Task`."""
        return causal_lm_table(
            self.model_settings, self.vocabulary_size, self.data_settings.block_size, tokens
        )

    def data_line(self) -> str:
        """See `Task`."""
        return ", ".join(f"{len(ids):,} symbols of {s}" for s, ids in self._corpus.splits.items())

    def batch_lines(self, batch: dict, rows: int) -> list[str]:
        """See `Task`."""
        lines = []
        for row in range(rows):
            text = self.vocabulary.decode(batch["token_ids"][row])
            lines += ["", *(text[:500] + (" …" if len(text) > 500 else "")).splitlines()]
        return lines

    def num_train_examples(self) -> int:
        """See `Task`; rows of one block each."""
        return len(self._corpus.splits["train"]) // self.data_settings.block_size

    def initial_memory(self, batch_size: int):
        """See `training.memory`."""
        return self.model.backbone.no_memory(batch_size)

    def static_choices(self, step: int) -> tuple:
        """See `Task`: how far attention looks, and how many experts a token chooses, at a step.

        Spans follow the weights in powers of two, so that a run compiles a few times at most.
        """
        backbone, model = self.model.backbone, self.model_settings
        spans = tuple(_bucket(span, model.attn_span) for span in backbone.needed_spans())
        last = model.num_selected_experts
        first = model.first_selected_experts or last
        selected = growing_num_selected_experts(step, self.settings.train_steps, first, last)
        changed = backbone.attend_to(spans), backbone.select_experts(selected)
        if any(changed):
            self.model.generate_function = None
        return spans, selected

    def train_stream(self, start_step: int, host_index: int = 0, num_hosts: int = 1):
        """See `Task`."""
        return streams.train_stream(
            self._corpus,
            self.data_settings,
            self.settings.train_batch_size,
            self.settings.seed,
            start_step=start_step,
            host_index=host_index,
            num_hosts=num_hosts,
        )

    def evaluation_stream(
        self,
        num_batches: int | None,
        splits: tuple[str, ...] = (),
        host_index: int = 0,
        num_hosts: int = 1,
    ):
        """One split from its beginning; the validation split by default."""
        if len(splits) > 1 or splits and splits[0] not in self._corpus.splits:
            raise InputError(
                f"--split={','.join(splits)}: a language model is scored on one of "
                f"{', '.join(self._corpus.splits)}"
            )
        self._split = splits[0] if splits else "validation"
        settings = self.data_settings
        if settings.eval_stride and settings.eval_context is None:
            # Behind so many symbols attention lacks nothing that memory would hold.
            settings = dataclasses.replace(settings, eval_context=self.model_settings.attn_span)
        return streams.evaluation_stream(
            self._corpus,
            settings,
            self._split,
            self.settings.eval_batch_size,
            num_batches=num_batches,
            host_index=host_index,
            num_hosts=num_hosts,
        )

    def normalizers(self, batch: dict) -> dict:
        """See `training.step.Objective`."""
        return {"tokens": ops.sum(ops.ones_like(batch["targets"], "float32"))}

    def contributions(self, batch: dict, normalizers: dict, share, key) -> tuple:
        """See `training.step.Objective`."""
        run = forward(self.model, batch, key)
        weights = ops.ones_like(batch["targets"], "float32")
        sums = cross_entropy_sums(run.outputs["logits"], batch["targets"], weights)
        metrics = {
            "next_loss": sums.loss / normalizers["tokens"],
            "next_accuracy": sums.correct / normalizers["tokens"],
        }
        loss = metrics["next_loss"] + share * run.auxiliary_loss
        return loss, metrics | routing_metrics(run.routing, share), run.outputs["memory"]

    def evaluation_sums(self, batch: dict) -> tuple:
        """See `Task`."""
        run = forward(self.model, batch, key=None)
        sums = cross_entropy_sums(run.outputs["logits"], batch["targets"], batch["target_weights"])
        total = {"tokens": sums._asdict(), "batches": ops.ones(())} | routing_sums(run.routing)
        return total, run.outputs["memory"]

    def summary(self, sums: dict) -> dict:
        """See `Task`."""
        tokens = sums["tokens"]
        loss = float(tokens["loss"] / tokens["count"])
        metrics = {"loss": loss, "next_accuracy": float(tokens["correct"] / tokens["count"])}
        metrics["symbols"] = int(tokens["count"])
        if self.data_settings.tokenizer in ("byte", "character"):
            metrics["bits_per_character"] = loss / math.log(2)
            metrics["ngram_bits_per_character"] = self._ngram_bits()
        else:
            metrics["perplexity"] = math.exp(min(loss, 700.0))
        if self.model_settings.adapt_span:
            spans = self.model.backbone.learned_spans()
            metrics["learned_spans"] = {
                name: np.round(np.ravel(heads), 2).tolist() for name, heads in spans.items()
            }
        return metrics | routing_summary(sums)

    def samples(self, sums: dict) -> list[dict]:
        """See `Task`: a continuation of what the split begins with."""
        del sums
        ids = self._corpus.splits[self._split][:_PROMPT]
        prompt = self.vocabulary.decode(ids)
        # The same dice each time: what changes is what the model has learned.
        self._sampler.seed_generator.state.assign(make_sampler("top_p").seed_generator.state)
        return continue_texts(self.model, self.vocabulary, [prompt], _CONTINUATION, self._sampler)

    def sample_lines(self, samples: list[dict]) -> list[str]:
        """See `Task`."""
        return sample_lines(samples)

    def _ngram_bits(self) -> float:
        """Bits a character of a 5-gram model of the same text on the same split, computed once."""
        if self._baseline is None or self._baseline[0] != self._split:
            corpus: Corpus = self._corpus
            train = corpus.splits["train"][:_BASELINE_SYMBOLS]
            held_out = corpus.splits[self._split][:_BASELINE_SYMBOLS]
            self._baseline = self._split, ngram_bits_per_symbol(train, held_out, _NGRAM)
        return self._baseline[1]


def _bucket(span: int, attn_span: int) -> int:
    """The least of 64, 128, 256, … and the whole span that a span fits in."""
    bucket = _SPAN_UNIT
    while bucket < span:
        bucket *= 2
    return min(bucket, attn_span)
