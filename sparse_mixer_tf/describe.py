"""Shows what a flagfile stands for, and trains nothing.

python -m sparse_mixer_tf.describe --flagfile=configs/quickstart.flags

With --tpu_topology=v5e:2x2 the TPU compiler says what it makes of the run, without a TPU.
"""

import dataclasses

import keras
from absl import flags

import pipelines.flags
import sparse_mixer_tf.cli.flags as package_flags
from sparse_mixer_tf import cost_model
from sparse_mixer_tf.autotune.precision import BFLOAT16, in_known_precision
from sparse_mixer_tf.cli import app
from sparse_mixer_tf.settings import ModelSettings, RunSettings, SettingsError, TrainingSettings
from sparse_mixer_tf.tasks import TASKS
from sparse_mixer_tf.tasks.base import Task
from sparse_mixer_tf.tpu import chips, compiling, programs, roofline

flags.DEFINE_bool("show_batch", True, "Prepare the data and show one real batch as text.")
flags.DEFINE_string(
    "tpu_topology",
    None,
    "Compile train step, evaluation step and serving function for a TPU slice, such as "
    f"{chips.EXAMPLES}; needs no TPU, but requirements-tpu-compile.txt.",
)
# What --help shows besides the program's own flags.
flags.adopt_module_key_flags(pipelines.flags)
flags.adopt_module_key_flags(package_flags)
FLAGS = flags.FLAGS
SHOWN_ROWS = 3
# A process that has imported everything and computed nothing.
PROGRAM_MIB = 900


def main() -> int:
    if FLAGS.workdir and not package_flags.given():
        raise SettingsError(
            f"--workdir={FLAGS.workdir}: describe shows what flags stand for; those of a run are "
            f"--flagfile={FLAGS.workdir}/run.flags"
        )
    model, data = package_flags.model_settings(), package_flags.data_settings()
    training, run = package_flags.training_settings(), package_flags.run_settings()
    topology = None
    if FLAGS.tpu_topology is not None:
        topology = chips.parse_topology(FLAGS.tpu_topology)
        programs.check_shares(training, topology.chips)
        compiling.check_installed()
    print("Settings")
    for section in (model, data, training, run):
        for item in dataclasses.fields(section):
            print(f"  --{item.name}={getattr(section, item.name)}")
    training = in_known_precision(training, model, on_tpu=topology is not None)

    keras.utils.set_random_seed(training.seed)
    task = TASKS[training.task](model, training, data)
    task.open_data() if FLAGS.show_batch else task.suppose_data()
    tokens = training.train_batch_size * task.tokens_per_row
    _show_costs(task, model, training, tokens)
    if "g" in model.architecture and model.router != "dropless":
        _show_capacity(model, tokens // training.gradient_accumulation_steps)
    if FLAGS.show_batch:
        _show_data(task)
    if topology is not None:
        _show_tpu(task, topology, run)
    return app.DONE


def _show_costs(task: Task, model: ModelSettings, training: TrainingSettings, tokens: int) -> None:
    routed = tokens // training.gradient_accumulation_steps
    rows = task.cost_table(routed)
    print("\nSublayers")
    print(_table(rows))
    total = sum(row.parameters for row in rows)
    active = sum(row.active_parameters for row in rows)
    flops = sum(row.flops for row in rows)
    print(f"\nParameters        {total:,}, of which {active:,} work on a token")
    print(f"Forward           {flops / 1e6:,.1f} MFLOP a token; training about 3 times that")
    print(f"Step              {tokens:,} tokens, {3 * flops * tokens / 1e9:,.0f} GFLOP")
    activation_bytes = 2 if training.precision == BFLOAT16 else 4
    memory = cost_model.training_bytes(rows, routed, activation_bytes, training.optimizer)
    parts = ", ".join(f"{name} {size / 2**20:,.0f}" for name, size in memory.items())
    print(f"Memory (estimate) {sum(memory.values()) / 2**20:,.0f} MiB: {parts}")
    print(f"                  the program itself takes about {PROGRAM_MIB} MiB more, of the host's")


def _show_capacity(model: ModelSettings, routed: int) -> None:
    groups = cost_model.num_groups(model, routed)
    per_group = -(-routed // groups)
    print(
        f"Expert capacity   {cost_model.expert_capacity(model, per_group):,} tokens an expert, "
        f"{model.num_experts} experts, {groups} group(s) of {per_group:,} tokens"
    )


def _show_data(task: Task) -> None:
    print(f"\nData              {task.data_line()}")
    batch = {name: array.numpy() for name, array in next(iter(task.train_stream(0))).items()}
    print("First batch")
    for name, array in batch.items():
        print(f"  {name:16} {array.dtype} {list(array.shape)}")
    rows = min(SHOWN_ROWS, task.settings.train_batch_size)
    print("\n".join(f"  {line}".rstrip() for line in task.batch_lines(batch, rows)))


def _show_tpu(task: Task, topology: chips.Topology, run: RunSettings) -> None:
    print(f"\nTPU {topology.name}\n{roofline.table_head(topology)}", flush=True)
    lowered = programs.lowered(task, topology.chips, run.on_spike != "off")
    results = compiling.compile_modules([program.module for program in lowered], topology)
    for program, result in zip(lowered, results, strict=True):
        print(roofline.table_line(program.name, program.rows, result, topology))
    print("\n".join(roofline.notes(topology, results, task.settings.gradient_accumulation_steps)))
    refused = [result for result in results if isinstance(result, compiling.Refused)]
    if refused:
        raise SettingsError(f"--tpu_topology={topology.name}: {refused[0].reason}")


def _table(rows: list[cost_model.Cost]) -> str:
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


if __name__ == "__main__":
    app.run(main)
