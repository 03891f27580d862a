"""The look at a trained model: what its experts take, how it mixes, where it attends, how long."""

import numpy as np

from pipelines.errors import InputError
from sparse_mixer_tf.analysis import held_out, matrices, sublayer_times
from sparse_mixer_tf.analysis.expert_preference import MIN_COUNT, Takings
from sparse_mixer_tf.analysis.matrices import pooled
from sparse_mixer_tf.analysis.token_text import Paragraph, shown
from sparse_mixer_tf.tasks.base import Task

# Heads of more attention than this are shown by their mean.
_MOST_HEADS = 32


def look(task: Task, step: int, opened: Task | None = None) -> tuple[dict, dict[str, np.ndarray]]:
    """Looks at a model with its weights; at held-out data too if the task can open its data.

    Args:
        task: restored and built; its data need not be open.
        step: of the weights.
        opened: another task of the same settings, whose data are open already.

    Returns:
        A record of plain values and arrays by name, for `files.write`. Arrays are
        `mixing/<sublayer>` [seq, seq], `reach/<sublayer>` [2 seq - 1],
        `attention/<sublayer>` [heads, tokens, tokens] and `distance/<sublayer>` [heads, span].
    """
    routed = task.settings.train_batch_size * task.tokens_per_row
    routed //= task.settings.gradient_accumulation_steps
    record = {
        "step": step,
        "task": task.settings.task,
        "sublayers": sublayer_times.table(task, routed),
    }
    arrays = {}
    for name, matrix in matrices.sequence_matrices(task.model.backbone).items():
        arrays[f"mixing/{name}"], record["mixing_tile"] = pooled(matrix)
        arrays[f"reach/{name}"] = matrices.reach(matrix)
    if opened is None:
        try:
            task.open_data()
        except InputError as error:
            return record | {"no_data": str(error)}, arrays
    seen = _Seen(task)
    for batch in held_out.looks(task, opened or task):
        seen.add(batch)
    if not seen.batches:
        return record | {"no_data": "there is no held-out batch"}, arrays
    return record | seen.record(), arrays | seen.arrays()


class _Seen:
    """Sums over held-out batches."""

    def __init__(self, task: Task):
        self.task, self.tokens, self.batches = task, 0, 0
        goes_on = task.initial_memory is not None
        self.takings, self.paragraph = {}, Paragraph(task.vocabulary, goes_on)
        self.attention, self.first = {}, None

    def add(self, batch: held_out.Look) -> None:
        self.first = self.first or batch
        self.tokens += int(batch.real.sum())
        self.batches += 1
        self.paragraph.add(batch)
        for name, gates in batch.gates.items():
            if name not in self.takings:
                self.takings[name] = Takings(gates.shape[-1], self.task.vocabulary.size)
            self.takings[name].add(batch.token_ids[batch.real], gates[batch.real])
        if self.task.initial_memory is None:
            self.attention = self.attention or batch.attention
        else:
            for name, mean in batch.attention.items():
                self.attention[name] = self.attention.get(name, 0.0) + mean

    def record(self) -> dict:
        shape = self.first.token_ids.shape
        seconds = sublayer_times.forward_seconds(self.task, self.first.token_ids, self.first.real)
        found = {
            "tokens": self.tokens,
            "forward_seconds": {name: round(value, 6) for name, value in seconds.items()},
            "forward_batch": list(shape),
        }
        if self.takings:
            found["min_count"] = MIN_COUNT
            found["paragraph"] = self.paragraph.texts()
            found["experts"] = {name: self._layer(name) for name in self.takings}
        if self.attention and self.task.initial_memory is None:
            found["attention_tile"] = pooled(self._example(next(iter(self.attention))))[1]
            found["attended"] = int(self.first.real[self.first.example].sum())
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        if self.task.initial_memory is not None:
            return {
                f"distance/{name}": (total / self.batches).astype(np.float32)
                for name, total in self.attention.items()
            }
        return {f"attention/{name}": pooled(self._example(name))[0] for name in self.attention}

    def _example(self, name: str) -> np.ndarray:
        """Attention of one example among its real tokens, [heads, tokens, tokens]."""
        real = np.flatnonzero(self.first.real[self.first.example])
        heads = self.attention[name][:, real][:, :, real]
        many = len(heads) * len(self.attention) > _MOST_HEADS
        return heads.mean(0, keepdims=True) if many else heads

    def _layer(self, name: str) -> dict:
        takings, words = self.takings[name], []
        for expert in range(len(takings.taken)):
            words.append(
                [
                    {"text": shown(self.task.vocabulary, word.pop("id"))} | word
                    for word in takings.preferred(expert)
                ]
            )
        return {
            "taken": takings.taken.sum(-1).tolist(),
            "untaken": takings.untaken,
            "mean_gate": takings.mean_gates().round(4).tolist(),
            "words": words,
            "paragraph": self.paragraph.takers(name),
        }
