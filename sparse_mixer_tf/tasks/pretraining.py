"""Pre-training: masked words, and whether two halves of a text stand in their order."""

import numpy as np
from keras import ops

from pipelines.datasets import pretraining as streams
from pipelines.errors import InputError
from pipelines.prepare import open_or_prepare
from pipelines.schema import ArraySpec, pretraining_batch
from pipelines.settings import DataSettings
from pipelines.store.store import TokenStore
from sparse_mixer_tf.cost_model import Cost, pretraining_table
from sparse_mixer_tf.models import PretrainingModel
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.tasks.base import Task
from sparse_mixer_tf.tasks.mask_filling import fill, sample_lines, show
from sparse_mixer_tf.tasks.model_factory import (
    build_backbone,
    forward,
    routing_metrics,
    routing_summary,
    routing_sums,
)
from sparse_mixer_tf.training.losses import cross_entropy_sums

_SAMPLES = 6


class Pretraining(Task):
    """See `tasks.task.Task`."""

    def __init__(self, model_settings, training_settings, data_settings):
        super().__init__(model_settings, training_settings, data_settings)
        self.has_order = data_settings.pair_objective != "none"
        if self.has_order and model_settings.num_segments < 2:
            raise SettingsError(
                f"--pair_objective={data_settings.pair_objective} has two segments a row, the "
                "model knows --num_segments=1; add --pair_objective=none"
            )
        self._store = None

    def open_data(self, settings: DataSettings | None = None) -> None:
        """See `Task`; a store is made where there is none."""
        self.data_settings = settings or self.data_settings
        store = open_or_prepare(self.data_settings, self.data_settings.cache_dir)
        words = store.vocabulary
        if self.vocabulary and self.vocabulary.fingerprint != words.fingerprint:
            raise InputError(
                f"the data were tokenised with vocabulary {words.fingerprint[:12]}, the run with "
                f"{self.vocabulary.fingerprint[:12]}; name the data with --dataset, so that they "
                "are tokenised anew"
            )
        self._store, self._shown = store, None
        self._frequent_id = _most_frequent_token(store)
        self.restore(
            words,
            {
                "vocabulary_fingerprint": words.fingerprint,
                "data_fingerprint": store.data_fingerprint,
            },
        )

    def suppose_data(self) -> None:
        """See `Task`; any token may stand for the most frequent one."""
        self._frequent_id = 0

    def batch_schema(self, batch_size: int, evaluation: bool = False) -> dict[str, ArraySpec]:
        """See `Task`."""
        del evaluation
        return pretraining_batch(self.data_settings, batch_size)

    def build(self) -> None:
        """See `Task`."""
        backbone = build_backbone(
            self.model_settings,
            self.vocabulary_size,
            self.data_settings.max_seq_length,
            self.settings.precision,
        )
        self.model = PretrainingModel(backbone, order_head=self.has_order)

    def cost_table(self, tokens: int) -> list[Cost]:
        """See `Task`."""
        data = self.data_settings
        return pretraining_table(
            self.model_settings,
            self.vocabulary_size,
            data.max_seq_length,
            data.num_predictions,
            tokens,
            self.has_order,
        )

    def data_line(self) -> str:
        """See `Task`."""
        train, held_out = (
            streams.num_examples(self._store, self.data_settings, split)
            for split in ("train", "validation")
        )
        return f"{train:,} examples, {held_out:,} held out"

    def batch_lines(self, batch: dict, rows: int) -> list[str]:
        """See `Task`."""
        lines = []
        for row in range(rows):
            real = batch["padding_mask"][row]
            masked = batch["mask_ids"][row][batch["mask_weights"][row] > 0]
            pieces = " ".join(self.vocabulary.piece(int(i)) for i in masked)
            lines += ["", show(batch["token_ids"][row][real], self.vocabulary), f"masked: {pieces}"]
            if self.has_order:
                label = batch["order_labels"][row]
                lines.append(f"{self.data_settings.pair_objective} label: {label}")
        return lines

    def num_train_examples(self) -> int:
        """See `Task`."""
        return streams.num_examples(self._store, self.data_settings, "train")

    def train_stream(self, start_step: int, host_index: int = 0, num_hosts: int = 1):
        """See `Task`."""
        return streams.train_stream(
            self._store,
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
        """The validation split, in a fixed order and with fixed masks."""
        if splits not in ((), ("validation",)):
            raise InputError(f"--split={','.join(splits)}: a token store has validation alone")
        size = self.settings.eval_batch_size
        shown = range(min(_SAMPLES, size))
        self._shown = streams.evaluation_batch_at(self._store, self.data_settings, 0, size, shown)
        return streams.evaluation_stream(
            self._store,
            self.data_settings,
            size,
            num_batches=num_batches,
            host_index=host_index,
            num_hosts=num_hosts,
        )

    def normalizers(self, batch: dict) -> dict:
        """See `training.step.Objective`."""
        return {
            "predictions": ops.sum(batch["mask_weights"]),
            "examples": ops.sum(batch["example_weights"]),
        }

    def contributions(self, batch: dict, normalizers: dict, share, key) -> tuple:
        """See `training.step.Objective`."""
        words, order, routing, auxiliary = self._sums(batch, key)
        # A batch without a single masked word or example is all filler: nothing divided by one.
        predictions = ops.maximum(normalizers["predictions"], 1.0)
        metrics = {
            "masked_lm_loss": words.loss / predictions,
            "masked_lm_accuracy": words.correct / predictions,
        }
        loss = metrics["masked_lm_loss"] + share * auxiliary
        if order is not None:
            examples = ops.maximum(normalizers["examples"], 1.0)
            metrics["order_loss"] = order.loss / examples
            metrics["order_accuracy"] = order.correct / examples
            loss = loss + metrics["order_loss"]
        return loss, metrics | routing_metrics(routing, share)

    def evaluation_sums(self, batch: dict) -> dict:
        """See `Task`."""
        words, order, routing, auxiliary = self._sums(batch, key=None)
        frequent = ops.cast(batch["mask_ids"] == self._frequent_id, "float32")
        sums = {
            "words": words._asdict(),
            "baseline_correct": ops.sum(frequent * batch["mask_weights"]),
            "auxiliary_loss": auxiliary,
            "batches": ops.ones(()),
        }
        if order is not None:
            sums["order"] = order._asdict()
        return sums | routing_sums(routing)

    def summary(self, sums: dict) -> dict:
        """See `Task`."""
        words, batches = sums["words"], sums["batches"]
        loss = words["loss"] / words["count"]
        metrics = {
            "masked_lm_loss": loss,
            "masked_lm_accuracy": words["correct"] / words["count"],
            "baseline_accuracy": sums["baseline_correct"] / words["count"],
            "masked_words": words["count"],
        }
        loss = loss + sums["auxiliary_loss"] / batches
        if "order" in sums:
            order = sums["order"]
            metrics["order_loss"] = order["loss"] / order["count"]
            metrics["order_accuracy"] = order["correct"] / order["count"]
            loss = loss + metrics["order_loss"]
        metrics = {"loss": float(loss)} | {name: float(v) for name, v in metrics.items()}
        metrics["masked_words"] = int(metrics["masked_words"])
        return metrics | routing_summary(sums)

    def samples(self, sums: dict) -> list[dict]:
        """See `Task`."""
        del sums
        return fill(self.model, self._shown, self.vocabulary)

    def sample_lines(self, samples: list[dict]) -> list[str]:
        """See `Task`."""
        return sample_lines(samples)

    def _sums(self, batch: dict, key):
        outputs, routing, auxiliary = forward(self.model, batch, key)
        words = cross_entropy_sums(outputs["mlm_logits"], batch["mask_ids"], batch["mask_weights"])
        order = None
        if self.has_order:
            order = cross_entropy_sums(
                outputs["order_logits"], batch["order_labels"], batch["example_weights"]
            )
        return words, order, routing, auxiliary


def _most_frequent_token(store: TokenStore) -> int:
    """The ordinary piece that the first shard of the training split holds most of."""
    tokens = store.splits["train"][0].tokens
    counts = np.bincount(tokens, minlength=store.vocabulary.size)
    return int(np.argmax(np.where(store.vocabulary.is_special, 0, counts)))
