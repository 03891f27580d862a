"""Fine-tuning: a class, or a number, for a text; scored as its benchmark defines it."""

import numpy as np
from keras import ops

from pipelines.datasets import classification as streams
from pipelines.labelled.dataset import LabelledSet
from pipelines.schema import ArraySpec, classification_batch
from pipelines.settings import DataSettings
from sparse_mixer_tf.cost_model import Cost, classification_table
from sparse_mixer_tf.metrics.glue import Predictions, scores
from sparse_mixer_tf.models import SparseMixerTextClassifier
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.tasks.base import Task
from sparse_mixer_tf.tasks.mask_filling import show
from sparse_mixer_tf.tasks.model_factory import (
    build_backbone,
    forward,
    routing_metrics,
    routing_summary,
    routing_sums,
)
from sparse_mixer_tf.training.losses import cross_entropy_sums, squared_error_sums

_MISTAKES = 10


class Classification(Task):
    """See `tasks.task.Task`. `error`, which decides what is best, is 1 - `score`.

    The loss is a mean over examples, plus the losses of routers. The published code divides the
    mean of a classification, not of a regression, by the examples of a device once more. With
    `balance_loss_factor` and `router_z_loss_factor` multiplied by that number, this loss is the
    published one multiplied by it.

    A held-out pass adds every example's outputs into one table, so that a score is of the whole
    split, whatever the batches and replicas it was computed in.
    """

    better = "error"

    def __init__(self, model_settings, training_settings, data_settings):
        super().__init__(model_settings, training_settings, data_settings)
        self.data, self._held_out = None, {}

    def open_data(self, settings: DataSettings | None = None) -> None:
        """See `Task`."""
        self.data_settings = settings or self.data_settings
        if self.vocabulary:
            self.data = streams.open_data(self.data_settings, self.vocabulary, self.labels)
            self._held_out = {}
            return
        self.data = streams.open_data(self.data_settings)
        segments, rows = self.data.train.lengths.shape[1], self.model_settings.num_segments
        if segments > rows:
            raise SettingsError(
                f"--dataset={self.data_settings.dataset} has {segments} segments a text, the model "
                f"knows --num_segments={rows}; take another model"
            )
        self._held_out = self.data.validation()
        fingerprint = self.data.fingerprint([self.data.train, *self._held_out.values()])
        self.restore(
            self.data.vocabulary,
            {
                "vocabulary_fingerprint": self.data.vocabulary.fingerprint,
                "data_fingerprint": fingerprint,
                "labels": list(self.data.labels),
            },
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes; empty for a regression."""
        return tuple(self.facts["labels"])

    def suppose_data(self) -> None:
        """See `Task`; one batch of examples is held out."""
        self.restore(None, {"labels": ["0", "1"]})
        self._held_out = {"validation": range(self.settings.eval_batch_size)}

    def batch_schema(self, batch_size: int, evaluation: bool = False) -> dict[str, ArraySpec]:
        """See `Task`."""
        del evaluation
        return classification_batch(
            self.data_settings.max_seq_length, batch_size, is_regression=not self.labels
        )

    def build(self) -> None:
        """See `Task`."""
        backbone = build_backbone(
            self.model_settings,
            self.vocabulary_size,
            self.data_settings.max_seq_length,
            self.settings.precision,
        )
        self.model = SparseMixerTextClassifier(backbone, num_classes=len(self.labels) or 1)

    def cost_table(self, tokens: int) -> list[Cost]:
        """See `Task`; the classes are two until the data are open."""
        return classification_table(
            self.model_settings,
            self.vocabulary_size,
            self.data_settings.max_seq_length,
            len(self.labels) or 1 if self.facts else 2,
            tokens,
        )

    def data_line(self) -> str:
        """See `Task`."""
        held_out = ", ".join(f"{len(s):,} of {name}" for name, s in self._held_out.items())
        labels = ", ".join(self.labels) or "a number"
        return f"{len(self.data.train):,} examples, {held_out}; labels: {labels}"

    def batch_lines(self, batch: dict, rows: int) -> list[str]:
        """See `Task`."""
        lines = []
        for row in range(rows):
            real = batch["padding_mask"][row]
            lines += ["", show(batch["token_ids"][row][real], self.vocabulary)]
            lines.append(f"label: {self._name(batch['labels'][row])}")
        return lines

    def num_train_examples(self) -> int:
        """See `Task`."""
        return len(self.data.train)

    def train_stream(self, start_step: int, host_index: int = 0, num_hosts: int = 1):
        """See `Task`."""
        return streams.train_stream(
            self.data.train,
            self.settings.train_batch_size,
            self.settings.seed,
            start_step,
            host_index,
            num_hosts,
        )

    def evaluation_stream(
        self,
        num_batches: int | None,
        splits: tuple[str, ...] = (),
        host_index: int = 0,
        num_hosts: int = 1,
    ):
        """The validation splits, or those of these names, one after the other."""
        if splits or set(self._held_out) != set(self.data.source.validation):
            self._held_out = self.data.validation(splits)
        return self._stream(num_batches, host_index, num_hosts)

    @property
    def whole_splits(self) -> tuple[str, ...]:
        """The splits to score where the data are not those that the model was trained on."""
        return self.data.source.whole

    def unlabelled_stream(self, split: str):
        """A split whose labels are secret or not looked at."""
        self._held_out = {split: self.data.split(split, labelled=False)}
        return self._stream(None)

    @property
    def held_out(self) -> dict[str, LabelledSet]:
        """The splits that the last evaluation stream goes through."""
        return self._held_out

    def normalizers(self, batch: dict) -> dict:
        """See `training.step.Objective`."""
        return {"examples": ops.sum(batch["example_weights"])}

    def contributions(self, batch: dict, normalizers: dict, share, key) -> tuple:
        """See `training.step.Objective`."""
        outputs, routing, auxiliary = forward(self.model, batch, key)
        examples = ops.maximum(normalizers["examples"], 1.0)
        sums = self._loss_sums(outputs, batch)
        metrics = {"task_loss": sums.loss / examples}
        if self.labels:
            metrics["accuracy"] = sums.correct / examples
        loss = metrics["task_loss"] + share * auxiliary
        return loss, metrics | routing_metrics(routing, share)

    def evaluation_sums(self, batch: dict) -> dict:
        """See `Task`."""
        outputs, routing, auxiliary = forward(self.model, batch, key=None)
        weights, where = batch["example_weights"], batch["example_index"][:, None]
        size = sum(map(len, self._held_out.values()))
        rows = ops.cast(outputs, "float32") * weights[:, None]
        return {
            "loss": self._loss_sums(outputs, batch)._asdict(),
            "outputs": ops.scatter(where, rows, (size, outputs.shape[-1])),
            "seen": ops.scatter(where, weights, (size,)),
            "auxiliary_loss": auxiliary,
            "batches": ops.ones(()),
        } | routing_sums(routing)

    def summary(self, sums: dict) -> dict:
        """See `Task`: losses, each metric by name, and `score`, the mean of the official ones.

        Metrics are means over the splits that were seen, weighted by their examples; with several
        splits, each has metrics of its own too, as `matched_accuracy`. `examples` counts them all.

        Raises:
            SettingsError: of no split a whole question was seen.
        """
        source, by_split = self.data.source, {}
        for split, said in self.predictions(sums).items():
            if not len(said.labels):
                continue
            by_split[split] = scores((*source.metrics, *source.original_metrics), said)
        if not by_split:
            raise SettingsError(
                f"--eval_steps shows no whole question of --dataset={self.data_settings.dataset} "
                f"with --eval_batch_size={self.settings.eval_batch_size}; raise either, or leave "
                "--eval_steps out"
            )
        counts = [len(said.labels) for said in self.predictions(sums).values() if len(said.labels)]
        named = {
            name: float(np.average([values[name] for values in by_split.values()], weights=counts))
            for name in (*source.metrics, *source.original_metrics)
        }
        if len(by_split) > 1:
            for split, values in by_split.items():
                prefix = split.removeprefix("validation_")
                named |= {f"{prefix}_{name}": value for name, value in values.items()}
        task_loss = float(sums["loss"]["loss"] / sums["loss"]["count"])
        score = float(np.mean([named[name] for name in source.metrics]))
        metrics = {
            "loss": task_loss + float(sums["auxiliary_loss"] / sums["batches"]),
            "task_loss": task_loss,
            "score": score,
            "error": 1.0 - score,
            "examples": sum(counts),
        }
        return metrics | named | self._confusion(sums) | routing_summary(sums)

    def predictions(self, sums: dict) -> dict[str, Predictions]:
        """Outputs beside labels for each split; questions that were not seen whole are left out."""
        found, start = {}, 0
        for split, held_out in self._held_out.items():
            rows = slice(start, start + len(held_out))
            start = rows.stop
            questions = np.array([example.question for example in held_out.examples])
            _, number = np.unique(questions, return_inverse=True)
            seen = np.asarray(sums["seen"][rows]) > 0
            kept = np.flatnonzero((np.bincount(number, ~seen) == 0)[number])
            examples = [held_out.examples[i] for i in kept]
            found[split] = Predictions(
                np.asarray(sums["outputs"][rows])[kept],
                held_out.labels[kept],
                questions[kept],
                tuple(example.candidate for example in examples),
                tuple(example.answers for example in examples),
            )
        return found

    def samples(self, sums: dict) -> list[dict]:
        """The most confident mistakes, or the greatest errors of a regression."""
        said = np.asarray(sums["outputs"], "float64")
        labels = np.concatenate([s.labels for s in self._held_out.values()])
        if self.labels:
            said = np.exp(said - said.max(-1, keepdims=True))
            said /= said.sum(-1, keepdims=True)
            guess = said.argmax(-1)
            size = said.max(-1) * (guess != labels)
        else:
            guess = said[:, 0]
            size = np.abs(guess - labels)
        size = size * (np.asarray(sums["seen"]) > 0)
        examples = [e for held_out in self._held_out.values() for e in held_out.examples]
        order = np.argsort(-size, kind="stable")[:_MISTAKES]
        return [
            {
                "segments": [text[:500] for text in examples[i].texts],
                "truth": self._name(labels[i]),
                "said": self._name(guess[i]),
                "size": round(float(size[i]), 4),
            }
            for i in order
            if size[i] > 0
        ]

    def sample_lines(self, samples: list[dict]) -> list[str]:
        """See `Task`."""
        lines = []
        for sample in samples:
            amount = f"{sample['size']:.0%}" if self.labels else f"off by {sample['size']:.2f}"
            lines.append(f"  {' | '.join(sample['segments'])[:160]}")
            lines.append(f"    {sample['truth']} <- {sample['said']} {amount}")
        return lines

    def _stream(self, num_batches: int | None, host_index: int = 0, num_hosts: int = 1):
        stream, start = None, 0
        for held_out in self._held_out.values():
            part = streams.evaluation_stream(
                held_out, self.settings.eval_batch_size, host_index, num_hosts
            ).map(
                lambda batch, start=start: batch | {"example_index": batch["example_index"] + start}
            )
            stream = part if stream is None else stream.concatenate(part)
            start += len(held_out)
        return stream if num_batches is None else stream.take(num_batches)

    def _loss_sums(self, outputs, batch: dict):
        if self.labels:
            return cross_entropy_sums(outputs, batch["labels"], batch["example_weights"])
        return squared_error_sums(outputs[:, 0], batch["labels"], batch["example_weights"])

    def _confusion(self, sums: dict) -> dict:
        """Examples by true and by predicted class, over all splits."""
        if not self.labels:
            return {}
        counts = np.zeros((len(self.labels),) * 2, int)
        for said in self.predictions(sums).values():
            np.add.at(counts, (said.labels, said.classes), 1)
        return {"confusion": counts.tolist()}

    def _name(self, value) -> str:
        return self.labels[int(value)] if self.labels else f"{value:.2f}"
