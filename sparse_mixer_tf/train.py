"""Trains a model: starts a run in `--workdir`, or continues it where it stopped.

python -m sparse_mixer_tf.train --flagfile=configs/quickstart.flags --workdir=runs/quickstart
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import flags

import sparse_mixer_tf.flags as package_flags
from sparse_mixer_tf import command_line, optimizers, reports, sweep
from sparse_mixer_tf.runs import check_vocabulary, start_from
from sparse_mixer_tf.settings import check_batch
from sparse_mixer_tf.tasks import TASKS
from sparse_mixer_tf.training import workdir as workdirs
from sparse_mixer_tf.training.checkpoint import Checkpoints, named
from sparse_mixer_tf.training.evaluation import evaluation_sums
from sparse_mixer_tf.training.loop import Loop
from sparse_mixer_tf.training.step import EvaluationStep, TrainStep
from sparse_mixer_tf.training.strategy import make_strategy

FLAGS = flags.FLAGS
# Where things lie does not change the result; what they hold is in the fingerprints.
PLACES = ("data_dir", "cache_dir", "vocab_filepath", "max_bad_records")


def main() -> int:
    # What was asked for, checked before anything expensive.
    package_flags.require("workdir")
    workdir = Path(FLAGS.workdir)
    if FLAGS.seeds or FLAGS.learning_rates or FLAGS.benchmark:
        return sweep.run(workdir)
    model_settings, data_settings = package_flags.model_settings(), package_flags.data_settings()
    training, run = package_flags.training_settings(), package_flags.run_settings()
    asked = {
        "model": model_settings.to_json(),
        "training": training.to_json(),
        "data": {k: v for k, v in vars(data_settings).items() if k not in PLACES},
        "init_checkpoint": FLAGS.init_checkpoint,
    }
    before = workdirs.read_settings(workdir)
    if before is not None:
        workdirs.check_same(workdir, {name: before[name] for name in asked}, asked)
        latest = Checkpoints(workdir / "checkpoints", {}).latest_manifest()
        if latest and latest.get("complete"):
            print(f"{workdir} is complete: {latest['step']:,} of {latest['of_steps']:,} steps")
            print(reports.console_summary(workdir))
            return command_line.DONE

    # Devices, then the seed, then data: seeding after a tokenizer is built can destroy it.
    strategy = make_strategy(run.strategy, run.virtual_devices)
    replicas = strategy.num_replicas_in_sync
    check_batch(
        "train_batch_size",
        training.train_batch_size,
        replicas,
        training.gradient_accumulation_steps,
    )
    check_batch("eval_batch_size", training.eval_batch_size, replicas)
    keras.utils.set_random_seed(training.seed)
    task = TASKS[training.task](model_settings, training, data_settings)
    task.open_data()
    now = asked | task.facts
    if before is not None:
        workdirs.check_same(workdir, {name: before[name] for name in now}, now)
    if FLAGS.init_checkpoint:
        check_vocabulary(FLAGS.init_checkpoint, task.vocabulary)
    training = training.scheduled(task.num_train_examples())
    run = run.scheduled(training.train_steps)

    # The model, and everything that a checkpoint holds.
    with strategy.scope():
        task.build()
        optimizer = optimizers.adamw(
            optimizers.WarmupDecay(
                training.learning_rate,
                training.warmup_steps,
                training.train_steps,
                training.learning_rate_decay,
            ),
            training.weight_decay,
            training.decay_all_weights,
        )
        optimizer.build(task.model.trainable_variables)
    variables = named({"model": task.model.weights, "optimizer": optimizer.variables})
    checkpoints = Checkpoints(workdir / "checkpoints", variables, run.checkpoints_to_keep)
    restored = checkpoints.restore_latest()
    start_step = restored["step"] if restored else 0
    if restored is None and FLAGS.init_checkpoint:
        print("\n".join(start_from(FLAGS.init_checkpoint, task.model)))
    tokens_per_step = training.train_batch_size * data_settings.max_seq_length
    print(
        f"{model_settings.architecture}: {task.model.count_params():,} parameters, "
        f"{tokens_per_step:,} tokens a step, {replicas} replica(s), {training.precision}"
    )
    print(f"continuing {workdir} at step {start_step:,}" if restored else f"new run in {workdir}")

    # One step, compiled the way that is faster here; a run keeps the choice it began with.
    batches = strategy.experimental_distribute_dataset(task.train_stream(start_step))

    def make_step(jit_compile: bool) -> TrainStep:
        return TrainStep(
            task,
            task.model.trainable_variables,
            optimizer,
            strategy,
            seed=training.seed,
            gradient_accumulation_steps=training.gradient_accumulation_steps,
            max_gradient_norm=training.max_gradient_norm,
            jit_compile=jit_compile,
        )

    if before is None:
        now["places"] = {name: getattr(data_settings, name) for name in PLACES}
        now["jit_compile"] = _choose_jit(training.jit_compile, make_step, next(iter(batches)))
        workdirs.write_settings(workdir, now, package_flags.given())
        (workdir / workdirs.VOCABULARY).parent.mkdir(exist_ok=True)
        workdirs.write_atomically(workdir / workdirs.VOCABULARY, task.vocabulary.model_bytes)
    jit_compile = (before or now)["jit_compile"]

    # Held-out scores, with a few real examples.
    held_out = task.evaluation_stream(run.eval_steps)
    evaluation_step = EvaluationStep(task.evaluation_sums, strategy, jit_compile)

    def evaluate(step: int) -> tuple[dict, list]:
        distributed = strategy.experimental_distribute_dataset(held_out)
        sums = evaluation_sums(distributed, evaluation_step)
        samples = task.samples(sums)
        print("\n".join(task.sample_lines(samples[:2])))
        return task.summary(sums), samples

    complete = Loop(
        workdir=workdir,
        settings=run,
        start_step=start_step,
        train_steps=training.train_steps,
        batches=batches,
        train_step=make_step(jit_compile),
        evaluate=evaluate,
        checkpoints=checkpoints,
        tokens_per_step=tokens_per_step,
        facts={name: now[name] for name in ("vocabulary_fingerprint", "data_fingerprint")}
        | {"seed": training.seed, "of_steps": training.train_steps},
        better=task.better,
        patience=training.early_stopping_patience,
    ).run()
    if not complete:
        return command_line.INTERRUPTED
    print(f"report: {reports.write(workdir)}")
    print(reports.console_summary(workdir))
    return command_line.DONE


def _choose_jit(choice: str, make_step, batch) -> bool:
    """Whether to compile with XLA; `auto` times the same gradients both ways."""
    if choice != "auto":
        return choice == "true"
    plain, compiled = (make_step(jit).measure(batch) for jit in (False, True))
    print(f"--jit_compile=auto: graph {plain * 1e3:,.0f} ms, XLA {compiled * 1e3:,.0f} ms a step")
    return bool(np.less(compiled, plain))


if __name__ == "__main__":
    tf.get_logger().setLevel("ERROR")
    command_line.run(main)
