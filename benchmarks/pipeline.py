"""Rate at which one core turns a prepared store into masked batches, against a Python loop.

    python -m benchmarks.pipeline [--store=DIR] [--seq_length=512]

The loop does the same work one example at a time with lists and a random generator, as the
published pipeline does. Both read the same store in the same run; each figure is the median of
several rounds on one thread. Without --store a corpus of random documents is prepared first.
"""

import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import app, flags

from pipelines.datasets import pretraining
from pipelines.examples import example_index
from pipelines.prepare import prepare
from pipelines.settings import DataSettings
from pipelines.store.store import TokenStore

_STORE = flags.DEFINE_string("store", None, "A prepared store; a made-up one without it.")
_LENGTH = flags.DEFINE_integer("seq_length", 512, "Tokens of a sequence.")
_BATCH = flags.DEFINE_integer("batch_size", 64, "Sequences of a batch.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Timed rounds of each.")
_BATCHES = flags.DEFINE_integer("batches", 10, "Batches of a round.")


def one_at_a_time(store: TokenStore, settings: DataSettings, batch_size: int) -> Callable:
    """The same batches, statistically, made by a loop over examples and positions."""
    words, (shard, *_) = store.vocabulary, store.splits["train"]
    table = example_index.examples(store, "train", settings)
    table = table[table["shard"] == 0]
    special = {words.cls_id, words.sep_id, words.pad_id}
    normal = words.normal_ids.tolist()
    length, slots = settings.max_seq_length, settings.num_predictions

    def example(number: int, draw: random.Random) -> dict[str, list]:
        row = table[number]
        first, start = int(row["first_boundary"]), int(row["token_start"])
        ends = shard.sentence_ends[first : first + int(row["num_boundaries"])].tolist()
        starts = [start, *ends[:-1]]
        parts = [shard.tokens[a:b].tolist() for a, b in zip(starts, ends, strict=True)]
        pivot = draw.randint(1, len(parts) - 1)
        a, b = sum(parts[:pivot], []), sum(parts[pivot:], [])
        in_order = draw.random() < 0.5
        if not in_order:
            a, b = b, a
        ids = [words.cls_id, *a, words.sep_id, *b, words.sep_id]
        segments = [0] * (len(a) + 2) + [1] * (len(b) + 1)
        count = min(slots, max(1, int(settings.masking_rate * len(ids))))
        candidates = [position for position, token in enumerate(ids) if token not in special]
        positions = sorted(draw.sample(candidates, min(count, len(candidates))))
        labels = [ids[position] for position in positions]
        for position in positions:
            kind = draw.random()
            if kind < settings.mask_token_proportion:
                ids[position] = words.mask_id
            elif kind < settings.mask_token_proportion + settings.random_token_proportion:
                ids[position] = draw.choice(normal)
        padding, unused = length - len(ids), slots - len(positions)
        return {
            "token_ids": ids + [words.pad_id] * padding,
            "segment_ids": segments + [0] * padding,
            "padding_mask": [True] * len(ids) + [False] * padding,
            "mask_positions": positions + [0] * unused,
            "mask_ids": labels + [0] * unused,
            "mask_weights": [1.0] * len(positions) + [0.0] * unused,
            "order_labels": int(in_order),
        }

    def batch(step: int) -> dict[str, np.ndarray]:
        draw = random.Random(step)
        rows = [example(draw.randrange(len(table)), draw) for _ in range(batch_size)]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    return batch


def rates(make: Callable, rounds: int, batches: int) -> tuple[float, float]:
    """Medians of tokens and of masked positions a second."""
    make(0)
    results = []
    for number in range(rounds):
        start, tokens, masked = time.perf_counter(), 0, 0
        for step in range(number * batches, (number + 1) * batches):
            batch = make(step)
            tokens += int(batch["padding_mask"].sum())
            masked += int(batch["mask_weights"].sum())
        seconds = time.perf_counter() - start
        results.append((tokens / seconds, masked / seconds))
    return tuple(statistics.median(values) for values in zip(*results, strict=True))


def made_up_store(folder: Path) -> TokenStore:
    """4 MB of random words: 1,500 documents of 20 sentences."""
    draw = random.Random(0)
    words = ["".join(draw.choices("aeioubdklmnrst", k=draw.randint(2, 9))) for _ in range(3000)]

    def document() -> str:
        lines = (" ".join(draw.choices(words, k=draw.randint(5, 40))) for _ in range(20))
        return json.dumps({"text": ". ".join(line.capitalize() for line in lines)})

    path = folder / "words.jsonl"
    path.write_text("\n".join(document() for _ in range(1500)))
    return prepare(DataSettings(dataset=str(path), vocab_size=4000), folder / "store")


def main(_) -> None:
    # Numbers are a core's: neither side may use a second one.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        store = TokenStore.open(_STORE.value) if _STORE.value else made_up_store(Path(folder))
        settings = DataSettings(max_seq_length=_LENGTH.value)

        def vectorised(step: int) -> dict[str, np.ndarray]:
            return pretraining.batch_at(store, settings, 0, step, _BATCH.value)

        sides = {
            "vectorised, whole batches": vectorised,
            "Python, one example at a time": one_at_a_time(store, settings, _BATCH.value),
        }
        print(f"{'':32}{'tokens/s':>14}{'masked positions/s':>22}")
        for name, make in sides.items():
            tokens, masked = rates(make, _ROUNDS.value, _BATCHES.value)
            print(f"{name:32}{tokens:14,.0f}{masked:22,.0f}")


if __name__ == "__main__":
    app.run(main)
