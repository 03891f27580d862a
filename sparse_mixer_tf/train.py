"""Trains a model: starts a run in `--workdir`, or continues it where it stopped.

python -m sparse_mixer_tf.train --flagfile=configs/quickstart.flags --workdir=runs/quickstart
"""

import math
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache, partial
from pathlib import Path

import keras
import tensorflow as tf
from absl import flags

import pipelines.flags
import sparse_mixer_tf.cli.flags as package_flags
from pipelines.settings import DataSettings
from sparse_mixer_tf import reports
from sparse_mixer_tf.autotune import xla
from sparse_mixer_tf.autotune.mixing import in_known_mixing
from sparse_mixer_tf.autotune.precision import in_known_precision
from sparse_mixer_tf.cli import app
from sparse_mixer_tf.experiments import sweep
from sparse_mixer_tf.experiments.load import check_vocabulary, fork, start_from
from sparse_mixer_tf.layers.moe.expert_parallel import experts_apart
from sparse_mixer_tf.layers.tracing import device_kind
from sparse_mixer_tf.reports import build as reporting
from sparse_mixer_tf.settings import SettingsError, check_batch
from sparse_mixer_tf.tasks import TASKS
from sparse_mixer_tf.tasks.base import Task
from sparse_mixer_tf.training import optimizers
from sparse_mixer_tf.training import workdir as workdirs
from sparse_mixer_tf.training.async_checkpoint import Saver
from sparse_mixer_tf.training.checkpoint import CheckpointError, Checkpoints, named
from sparse_mixer_tf.training.distributed.cluster import Agreement, from_environment
from sparse_mixer_tf.training.distributed.cpu_partition import (
    check_parts_at_once,
    in_parts_that_fit,
    share_out_cores,
)
from sparse_mixer_tf.training.distributed.expert_parallel import (
    ExpertExchange,
    check_expert_parallel,
)
from sparse_mixer_tf.training.distributed.input import distributed
from sparse_mixer_tf.training.distributed.strategy import make_strategy
from sparse_mixer_tf.training.eval_step import EvaluationStep, evaluation_sums
from sparse_mixer_tf.training.loop import Loop
from sparse_mixer_tf.training.preemption import MaintenanceWatch
from sparse_mixer_tf.training.recurrent_state import carried_memory
from sparse_mixer_tf.training.stability import TrainingStopped, Watch, new_history
from sparse_mixer_tf.training.train_step import TrainStep
from sparse_mixer_tf.training.workdir import as_it_began, is_extended

# What --help shows besides the program's own flags.
flags.adopt_module_key_flags(pipelines.flags)
flags.adopt_module_key_flags(package_flags)
FLAGS = flags.FLAGS


def main() -> int:
    try:
        return train()
    # What a file system still refuses after some attempts names the file itself.
    except (CheckpointError, TrainingStopped, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return app.FAILED
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError) as error:
        if from_environment().size == 1:
            raise
        print(
            f"error: another worker is gone ({type(error).__name__}); run the same command on all "
            "workers again to continue",
            file=sys.stderr,
        )
        return app.FAILED


def train() -> int:
    # What was asked for, checked before anything expensive.
    package_flags.require("workdir")
    workdir = Path(FLAGS.workdir)
    if FLAGS.seeds or FLAGS.learning_rates or FLAGS.benchmark:
        return sweep.run(workdir)
    model_settings, data_settings = package_flags.model_settings(), package_flags.data_settings()
    training, run = package_flags.training_settings(), package_flags.run_settings()
    before = workdirs.read_settings(workdir)
    if before is not None:
        completed = DataSettings.completed(before["data"])
        before["data"] = {k: v for k, v in completed.items() if k not in workdirs.PLACES}
        training, model_settings = as_it_began(before, training, model_settings)
    asked = {
        "model": model_settings.to_json(),
        "training": training.to_json(),
        "data": {k: v for k, v in vars(data_settings).items() if k not in workdirs.PLACES},
        "init_checkpoint": FLAGS.init_checkpoint,
        "fork_from": run.fork_from,
    }
    if FLAGS.init_checkpoint and run.fork_from:
        raise SettingsError("--init_checkpoint and --fork_from both start a run; give one")
    extended = before is not None and is_extended(workdir, before, asked, training)
    if before is not None:
        there = Checkpoints(workdir / "checkpoints", {})
        latest = there.latest_manifest()
        is_complete = latest and latest.get("complete") and not extended
        # A damaged last checkpoint is made again from the one before it.
        if is_complete and there.is_whole(latest["step"]):
            print(f"{workdir} is complete: {latest['step']:,} of {latest['of_steps']:,} steps")
            print(reports.console_summary(workdir))
            return app.DONE

    # Devices, then the seed, then data: seeding after a tokenizer is built can destroy it.
    share_out_cores(run.parts_at_once)
    strategy = make_strategy(run.strategy, run.virtual_devices, run.tpu)
    on_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    cluster = from_environment()
    agreement = Agreement(strategy, cluster)
    say = print if cluster.is_chief else _say_nothing
    replicas = strategy.num_replicas_in_sync
    run = in_parts_that_fit(run, device_kind(), say)
    check_batch(
        "train_batch_size",
        training.train_batch_size,
        replicas,
        training.gradient_accumulation_steps * run.parts_at_once,
    )
    check_batch("eval_batch_size", training.eval_batch_size, replicas, run.parts_at_once)
    check_parts_at_once(run.parts_at_once, training.jit_compile, run.expert_parallel)
    check_expert_parallel(run.expert_parallel, replicas, model_settings, training)
    exchange = ExpertExchange(strategy) if run.expert_parallel > 1 else None
    training = in_known_precision(training, model_settings, on_tpu, agreement.total, say)
    if before is None:
        model_settings = in_known_mixing(
            model_settings,
            data_settings.max_seq_length,
            training.precision,
            device_kind(),
            agreement.total,
            say,
        )
    asked |= {"training": training.to_json(), "model": model_settings.to_json()}
    keras.utils.set_random_seed(training.seed)
    task = TASKS[training.task](model_settings, training, data_settings)
    # The chief first: it may have to prepare what the others then find.
    if cluster.is_chief:
        task.open_data()
    agreement.total(0)
    if not cluster.is_chief:
        task.open_data()
    now = asked | task.facts
    if before is not None:
        workdirs.check_same(workdir, {name: before.get(name) for name in now}, now)
    if FLAGS.init_checkpoint:
        check_vocabulary(FLAGS.init_checkpoint, task.vocabulary)
    training = training.scheduled(task.num_train_examples())
    run = run.scheduled(training.train_steps)
    task.settings = training

    # The model, and everything that a checkpoint holds.
    with strategy.scope(), experts_apart(exchange):
        task.build()
        optimizer = optimizers.scheduled_optimizer(training)
        build = exchange.build if exchange else type(optimizer).build
        build(optimizer, task.model.trainable_variables)
        history = new_history()
    whole = exchange.whole_variable if exchange else lambda variable: variable
    memory = carried_memory(task.initial_memory, training.train_batch_size, strategy)
    variables = named(
        {
            "model": [whole(variable) for variable in task.model.weights],
            "optimizer": [whole(variable) for variable in optimizer.variables],
            "memory": [memory] if memory else [],
            "health": [history],
        }
    )
    checkpoints = Checkpoints(workdir / "checkpoints", variables, run.checkpoints_to_keep)
    restored = checkpoints.restore_latest()
    start = restored or {"step": 0}
    agreement.check_same("a checkpoint of step", start["step"])
    if restored is None and FLAGS.init_checkpoint:
        say("\n".join(start_from(FLAGS.init_checkpoint, task.model, whole)))
    if restored is None and run.fork_from:
        start = fork(run.fork_from, variables, task.vocabulary, training.train_steps)
        say(f"weights, optimizer and data position of {run.fork_from}")
    tokens_per_step = training.train_batch_size * task.tokens_per_row
    parameters = sum(math.prod(whole(variable).shape) for variable in task.model.weights)
    at_once = f" of {run.parts_at_once} parts at once" if run.parts_at_once > 1 else ""
    say(
        f"{model_settings.architecture}: {parameters:,} parameters, "
        f"{tokens_per_step:,} tokens a step, {replicas} replica(s){at_once}, {training.precision}"
    )
    if exchange:
        say(exchange.memory_line([*task.model.weights, *optimizer.variables]))
    say(f"continuing {workdir} at step {start['step']:,}" if restored else f"new run in {workdir}")

    # One step, compiled the way that is faster here; a run keeps the choice it began with.
    def batches(index: int):
        here = task.train_stream(index, host_index=cluster.index, num_hosts=cluster.size)
        return distributed(here, strategy, cluster)

    def make_step(way: str) -> TrainStep:
        return TrainStep(
            task,
            task.model.trainable_variables,
            optimizer,
            strategy,
            seed=training.seed,
            gradient_accumulation_steps=training.gradient_accumulation_steps,
            parts_at_once=run.parts_at_once,
            max_gradient_norm=training.max_gradient_norm,
            jit_compile=way == xla.ALL,
            static_shapes=way == xla.ELEMENTWISE,
            memory=memory,
            refuse_spikes=run.on_spike != "off",
            history=history,
            exchange=exchange,
        )

    # What exchanges tokens, or computes parts at once, XLA does not compile outside of a TPU.
    can_compile = not exchange and run.parts_at_once == 1
    if before is None:
        now["places"] = {name: getattr(data_settings, name) for name in workdirs.PLACES}

        @cache
        def first_batch():
            task.static_choices(start["step"])
            return next(iter(batches(start["step"])))

        def measure(way: str) -> float:
            first = first_batch()
            return xla.compiled(way, make_step(way).measure)(first) / cluster.size

        now["jit_compile"] = xla.known_compilation(
            training.jit_compile,
            "tpu" if on_tpu else device_kind(),
            measure,
            can_compile,
            agreement.total,
            say,
        )
    facts = before or now
    # Older runs have it as true or false.
    way = str(facts["jit_compile"]).lower()
    way = way if can_compile or way == xla.ELEMENTWISE else xla.NOTHING
    if cluster.is_chief and (before is None or extended):
        workdirs.write_settings(workdir, facts, package_flags.given())
        (workdir / task.vocabulary_file).parent.mkdir(exist_ok=True)
        workdirs.write_atomically(workdir / task.vocabulary_file, task.vocabulary.model_bytes)

    # Held-out scores, with a few real examples.
    held_out = task.evaluation_stream(
        run.eval_steps, host_index=cluster.index, num_hosts=cluster.size
    )
    train_step_at = _for_each_choice(task, lambda: make_step(way))
    evaluation_step_at = _for_each_choice(
        task,
        lambda: EvaluationStep(
            task.evaluation_sums,
            strategy,
            way == xla.ALL,
            task.initial_memory,
            run.parts_at_once,
        ),
    )

    def evaluate(step: int) -> tuple[dict, list]:
        batches = distributed(held_out, strategy, cluster)
        sums = evaluation_sums(batches, evaluation_step_at(step))
        samples = task.samples(sums)
        say("\n".join(task.sample_lines(samples[:2])))
        return task.summary(sums), samples

    watched = run.watch_maintenance == "true" or (run.watch_maintenance == "auto" and on_tpu)
    complete = Loop(
        workdir=workdir,
        settings=run,
        start=start,
        train_steps=training.train_steps,
        batches=batches,
        train_step=xla.compiled(way, lambda batch, step: train_step_at(step)(batch, step)),
        evaluate=evaluate,
        saver=Saver(checkpoints, writes=cluster.is_chief),
        watch=Watch(run, [variable.path for variable in task.model.trainable_variables], say),
        tokens_per_step=tokens_per_step,
        facts={name: now[name] for name in ("vocabulary_fingerprint", "data_fingerprint")}
        | {"seed": training.seed, "of_steps": training.train_steps},
        better=task.better,
        patience=training.early_stopping_patience,
        agree=agreement.any,
        listen=partial(MaintenanceWatch, say=say) if watched else nullcontext,
        say=say,
    ).run()
    if not complete:
        return app.INTERRUPTED
    if cluster.is_chief:
        print(
            f"report: {reporting.report(workdir, run.inspect, opened=None if exchange else task)}"
        )
        print(reports.console_summary(workdir))
    return app.DONE


def _for_each_choice(task: Task, make: Callable) -> Callable:
    """`step -> made`, made once for each of the task's static choices."""
    made = {}

    def at(step: int):
        choice = task.static_choices(step)
        if choice not in made:
            made[choice] = make()
        return made[choice]

    return at


def _say_nothing(*_) -> None:
    """The chief says it for all."""


if __name__ == "__main__":
    tf.get_logger().setLevel("ERROR")
    app.run(main)
