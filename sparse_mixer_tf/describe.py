"""Shows what a flagfile stands for, and trains nothing.

python -m sparse_mixer_tf.describe --flagfile=configs/quickstart.flags
"""

import dataclasses

import keras
from absl import flags

import sparse_mixer_tf.flags as package_flags
from pipelines import pretraining as streams
from pipelines.prepare import open_or_prepare
from sparse_mixer_tf import command_line, cost
from sparse_mixer_tf.tasks.filling import show

flags.DEFINE_bool("show_batch", True, "Prepare the data and show one real batch as text.")
FLAGS = flags.FLAGS


def main() -> int:
    model, data = package_flags.model_settings(), package_flags.data_settings()
    training, run = package_flags.training_settings(), package_flags.run_settings()
    print("Settings")
    for section in (model, data, training, run):
        for item in dataclasses.fields(section):
            print(f"  --{item.name}={getattr(section, item.name)}")

    store = open_or_prepare(data, data.cache_dir) if FLAGS.show_batch else None
    vocabulary_size = store.vocabulary.size if store else data.vocab_size
    seq, tokens = data.max_seq_length, training.train_batch_size * data.max_seq_length
    routed = tokens // training.gradient_accumulation_steps
    rows = cost.table(
        model, vocabulary_size, seq, data.num_predictions, routed, data.pair_objective != "none"
    )
    print("\nSublayers")
    print(_table(rows))
    total = sum(row.parameters for row in rows)
    active = sum(row.active_parameters for row in rows)
    flops = sum(row.flops for row in rows)
    print(f"\nParameters        {total:,}, of which {active:,} work on a token")
    print(f"Forward           {flops / 1e6:,.1f} MFLOP a token; training about 3 times that")
    print(f"Step              {tokens:,} tokens, {3 * flops * tokens / 1e9:,.0f} GFLOP")
    activation_bytes = 2 if training.precision == "mixed_bfloat16" else 4
    memory = cost.training_bytes(rows, routed, activation_bytes)
    parts = ", ".join(f"{name} {size / 2**20:,.0f}" for name, size in memory.items())
    print(f"Memory (estimate) {sum(memory.values()) / 2**20:,.0f} MiB: {parts}")
    if "g" in model.architecture and model.router != "dropless":
        groups = cost.num_groups(model, routed)
        per_group = -(-routed // groups)
        capacity = cost.expert_capacity(model, per_group)
        print(
            f"Expert capacity   {capacity:,} tokens an expert, {model.num_experts} experts, "
            f"{groups} group(s) of {per_group:,} tokens"
        )
    if store:
        _show_batch(store, data, training)
    return command_line.DONE


def _table(rows: list[cost.Cost]) -> str:
    cells = [("name", "what", "weights", "parameters", "active", "kFLOP/token")]
    cells += [
        (r.name, r.kind, r.weights, f"{r.parameters:,}", f"{r.active_parameters:,}",
         f"{r.flops / 1e3:,.0f}")
        for r in rows
    ]  # fmt: skip
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = []
    for row in cells:
        left = [text.ljust(width) for text, width in zip(row[:3], widths[:3], strict=True)]
        right = [text.rjust(width) for text, width in zip(row[3:], widths[3:], strict=True)]
        lines.append("  " + "  ".join(left + right))
    return "\n".join(lines)


def _show_batch(store, data, training) -> None:
    keras.utils.set_random_seed(training.seed)
    examples = {s: streams.num_examples(store, data, s) for s in ("train", "validation")}
    print(
        f"\nData              {examples['train']:,} examples, {examples['validation']:,} held out"
    )
    batch = streams.batch_at(store, data, training.seed, 0, training.train_batch_size)
    print("First batch")
    for name, array in batch.items():
        print(f"  {name:16} {array.dtype} {list(array.shape)}")
    for row in range(min(3, training.train_batch_size)):
        real = batch["padding_mask"][row]
        print(f"\n  {show(batch['token_ids'][row][real], store.vocabulary)}")
        masked = batch["mask_ids"][row][batch["mask_weights"][row] > 0]
        print(f"  masked: {' '.join(store.vocabulary.piece(int(i)) for i in masked)}")
        if "order_labels" in batch:
            label = batch["order_labels"][row]
            print(f"  {data.pair_objective} label: {label}")


if __name__ == "__main__":
    command_line.run(main)
