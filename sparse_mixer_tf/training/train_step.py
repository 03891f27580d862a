"""Gradients of one replica's batch: whole, micro-batch by micro-batch, or parts of it at once.

One optimizer step, the same on one device and on many.

The loss of a batch is a sum of contributions divided by counts taken over the *global* batch, so
that cutting it over replicas and micro-batches changes nothing. Gradients are summed over replicas
once, clipped by their global norm after that, and applied, unless a number is no number. Keras's
own `fit` does none of these right under `tf.distribute`.

Two things know where the batch is cut. Dropout masks are of a replica and a part, so they repeat
for the same number of these. Tokens are routed in groups of at most `--max_group_size`: the
numbers are the same for every cut when that divides the tokens of a part, whose groups are then
those of the whole batch.
"""

from typing import Protocol

import tensorflow as tf

from sparse_mixer_tf.autotune import timing
from sparse_mixer_tf.layers.tracing import varying_shapes
from sparse_mixer_tf.training import microbatch
from sparse_mixer_tf.training.distributed.expert_parallel import ExpertExchange
from sparse_mixer_tf.training.distributed.strategy import compiles_everything
from sparse_mixer_tf.training.optimizers import Adagrad
from sparse_mixer_tf.training.recurrent_state import CarriedMemory, with_memory
from sparse_mixer_tf.training.stability import judge, new_history, remember


class Objective(Protocol):
    """Loss of a task for the step. Tensors are this replica's, or this microbatch's."""

    def normalizers(self, batch: dict) -> dict:
        """Counts to divide by, as sums over `batch`; the step adds them over replicas."""

    def contributions(self, batch: dict, normalizers: dict, share, key) -> tuple:
        """The loss and the metrics, each so that the sum over all parts is the global value.

        Args:
            normalizers: over the global batch.
            share: float, 1 / number of parts; what a part's *mean* contributes.
            key: uint32 [2], from which this part's dropout is derived.

        Returns:
            `(loss, metrics)`; with `batch["memory"]`, `(loss, metrics, memory)`, the last being
            what the next batch's rows find there, without gradient.
        """


class Gradients:
    """Callable `(batch, normalizers, step, replica) -> (gradients, metrics, memory, size)`.

    `size` is a number that needs every gradient, for whoever only wants them computed.

    Args:
        objective: the task's loss.
        variables: the trainable keras variables.
        replicas: over which the caller adds up what is returned.
        parts: micro-batches that the batch is cut into.
        at_once: parts of a micro-batch that do not wait for one another.
        seed: decides dropout, together with step, replica and part.
        static_shapes: whether a compiler wants to know every shape beforehand.
        unrolled: write micro-batches out instead of looping over them. Collectives in loops of
            several replicas wait for one another forever.
    """

    def __init__(
        self,
        objective: Objective,
        variables: list,
        replicas: int,
        parts: int,
        at_once: int,
        seed: int,
        static_shapes: bool = True,
        unrolled: bool = False,
    ):
        self.objective, self.variables = objective, variables
        self.replicas, self.seed = replicas, seed
        self.parts, self.at_once = parts, at_once
        self.static_shapes, self.unrolled = static_shapes, unrolled

    def __call__(self, batch: dict, normalizers: dict, step, replica) -> tuple:
        all_parts = self.parts * self.at_once
        share = 1.0 / (all_parts * self.replicas)

        def of_part(part_batch, part):
            stream = replica * tf.constant(all_parts, tf.uint32) + tf.cast(part, tf.uint32)
            # An odd constant, so that streams stay apart whatever the seed.
            word = tf.constant(self.seed % 2**32, tf.uint32) + stream * tf.constant(
                0x9E3779B9, tf.uint32
            )
            with tf.GradientTape() as tape:
                loss, metrics, *memory = self.objective.contributions(
                    part_batch, normalizers, share, tf.stack([word, step])
                )
            gradients = tape.gradient(loss, [v.value for v in self.variables])
            dense = [
                tf.zeros(v.shape, v.dtype) if g is None else tf.convert_to_tensor(g)
                for g, v in zip(gradients, self.variables, strict=True)
            ]
            return (dense, {"loss": loss} | metrics), memory

        of_batch = of_part
        if self.at_once > 1:
            of_batch = microbatch.at_once(of_batch, self.at_once)
        if self.parts > 1:
            in_turn = microbatch.one_by_one if self.unrolled else microbatch.in_a_loop
            of_batch = in_turn(of_batch, self.parts)
        with varying_shapes(not self.static_shapes):
            (gradients, metrics), memory = of_batch(batch, 0)
        return gradients, metrics, memory[0] if memory else None, tf.linalg.global_norm(gradients)


class TrainStep:
    """Callable `(batch, step) -> metrics` that applies one update.

    An update whose loss or gradients are not finite is not applied: weights, optimizer and memory
    keep their bits. The metrics say so in `applied`, with `spike` and the squared norm of each
    variable's gradient in `gradient_squares [num_variables]`.

    Args:
        objective: the task's loss.
        variables: the trainable keras variables.
        optimizer: a built keras optimizer.
        strategy: where the variables live.
        seed: decides dropout, together with step, replica and part.
        gradient_accumulation_steps: micro-batches that each replica's batch is cut into.
        parts_at_once: parts of each of them that are computed at once, see `share_out_cores`.
        max_gradient_norm: clip to this global norm, or None.
        jit_compile: compile with XLA. With one replica the optimizer's update is always compiled.
        static_shapes: let a compiler know every shape beforehand, as with `jit_compile` always.
        memory: what the objective carries from step to step, if anything.
        refuse_spikes: do not apply an update whose loss or gradient norm is a spike either.
        history: of `new_history`, what a spike is measured against; one of its own if not given.
        exchange: between the replicas, where experts are apart.

    Attributes:
        whole: with one replica, the function `(batch, memory, step) -> (metrics, memory)` that is
            all of the step.
    """

    def __init__(
        self,
        objective: Objective,
        variables: list,
        optimizer,
        strategy: tf.distribute.Strategy,
        seed: int = 0,
        gradient_accumulation_steps: int = 1,
        parts_at_once: int = 1,
        max_gradient_norm: float | None = None,
        jit_compile: bool = False,
        static_shapes: bool = False,
        memory: CarriedMemory | None = None,
        refuse_spikes: bool = False,
        history=None,
        exchange: ExpertExchange | None = None,
    ):
        self.objective, self.variables, self.optimizer = objective, variables, optimizer
        self.strategy, self.memory, self.refuse_spikes = strategy, memory, refuse_spikes
        self.max_gradient_norm = max_gradient_norm
        with strategy.scope():
            self.history = new_history() if history is None else history
        self.replicas = strategy.num_replicas_in_sync
        # A replica has the gradients of its own experts whole already.
        self.exchange = exchange
        self._apart = [exchange is not None and exchange.is_apart(v) for v in variables]
        is_compiled = jit_compile or compiles_everything(strategy)
        gradients = Gradients(
            objective,
            variables,
            self.replicas,
            gradient_accumulation_steps,
            parts_at_once,
            seed,
            static_shapes=static_shapes or is_compiled,
            unrolled=exchange is not None,
        )
        # Collectives cannot be compiled here, so with several replicas only what lies between is.
        compiled = tf.function(gradients, jit_compile=jit_compile, autograph=False)
        if self.replicas == 1:
            self._gradients = gradients
            # One pass over every weight instead of a dozen: a quarter of the time.
            alone = None if is_compiled else True
            self._update = tf.function(self._apply, jit_compile=alone, autograph=False)
            self.whole = tf.function(self._step_alone, jit_compile=jit_compile, autograph=False)
            self._step = tf.function(
                lambda *inputs: strategy.run(self.whole, inputs), autograph=False
            )
        else:
            self._gradients = compiled
            self._step = tf.function(self._step_together, autograph=False)
        # Gradients are left out of what is returned; the last number still needs them all.
        self._timed = tf.function(
            lambda *inputs: strategy.run(
                lambda *part: compiled(*self._gradient_inputs(*part, 0))[1:], inputs
            ),
            autograph=False,
        )

    def __call__(self, batch, step: int) -> dict:
        """Applies the update of `step`; returns global metrics as float32 tensors."""
        metrics, memory = self._step(batch, self._carried(), tf.constant(step))
        if memory is not None:
            self.memory.value = memory
        return metrics

    def measure(self, batch, repeats: int = 3) -> float:
        """Seconds of the fastest of a few gradient computations; updates nothing."""

        def compute():
            *_, size = self._timed(batch, self._carried())
            self.strategy.experimental_local_results(size)[0].numpy()

        return min(timing.seconds(compute, repeats))

    def _carried(self):
        return None if self.memory is None else self.memory.value

    def _step_alone(self, batch, memory, step):
        gradients, metrics, memory = self._reduced_gradients(batch, memory, step)
        tf.cond(metrics["applied"] > 0, lambda: self._update(gradients, metrics), lambda: None)
        return metrics, memory

    def _step_together(self, batch, memory, step):
        """The step of several replicas; Keras cannot update under a condition inside of one."""
        run = self.strategy.run
        gradients, metrics, memory = run(self._reduced_gradients, (batch, memory, step))
        first = {n: self.strategy.experimental_local_results(x)[0] for n, x in metrics.items()}
        inputs = gradients, metrics
        tf.cond(first["applied"] > 0, lambda: run(self._apply, inputs), lambda: None)
        return first, memory

    def _apply(self, gradients, metrics) -> None:
        """Clips the gradients, whose norms are among the metrics, and updates."""
        loss, norm = metrics["loss"], metrics["gradient_norm"]
        # Keras sums gradients over replicas once more, unless an exchange built the optimizer; they
        # are summed already.
        scale = 1.0 if self.exchange is not None else 1.0 / self.replicas
        if self.max_gradient_norm is not None:
            scale *= self.max_gradient_norm / tf.maximum(norm, self.max_gradient_norm)
        known = {}
        if isinstance(self.optimizer, Adagrad) and self.replicas == 1:
            known["norms"] = scale * tf.sqrt(metrics["gradient_squares"])
        scaled = [g * tf.cast(scale, g.dtype) for g in gradients]
        self.optimizer.apply(scaled, self.variables, **known)
        self.history.assign(remember(self.history.value, loss, norm))

    def _reduced_gradients(self, batch, memory, step):
        """Gradients and metrics of the global batch, and the memory of this replica."""
        inputs = self._gradient_inputs(batch, memory, step)
        gradients, metrics, following, _ = self._gradients(*inputs)
        if self.replicas > 1:
            context = tf.distribute.get_replica_context()
            shared, metrics = context.all_reduce("SUM", (self._of(gradients, False), metrics))
            gradients = self._merged(shared, self._of(gradients, True))
        # As in tf.linalg.global_norm, whose parts are worth keeping.
        squares = [2.0 * tf.nn.l2_loss(g) for g in gradients]
        if any(self._apart):
            apart = context.all_reduce("SUM", self._of(squares, True))
            squares = self._merged(self._of(squares, False), apart)
        squares = tf.stack(squares)
        norm = tf.sqrt(tf.reduce_sum(squares))
        verdict = judge(self.history.value, metrics["loss"], norm)
        applied = verdict.finite & ~(verdict.spike & self.refuse_spikes)
        # Not `tf.where`, which would copy whichever it takes.
        carried = None if memory is None else tf.cond(applied, lambda: following, lambda: memory)
        metrics |= {
            "gradient_norm": norm,
            "learning_rate": tf.cast(self.optimizer.learning_rate, tf.float32),
            "applied": tf.cast(applied, tf.float32),
            "spike": tf.cast(verdict.spike, tf.float32),
            "gradient_squares": squares,
        }
        return gradients, metrics, carried

    def _of(self, values: list, apart: bool) -> list:
        """Those of the variables of experts apart, or of all the others."""
        return [v for v, is_apart in zip(values, self._apart, strict=True) if is_apart == apart]

    def _merged(self, shared: list, apart: list) -> list:
        """Both in the order of the variables."""
        rest = {False: iter(shared), True: iter(apart)}
        return [next(rest[is_apart]) for is_apart in self._apart]

    def _gradient_inputs(self, batch, memory, step):
        replica = 0
        normalizers = self.objective.normalizers(batch)
        if self.replicas > 1:
            context = tf.distribute.get_replica_context()
            normalizers = context.all_reduce("SUM", normalizers)
            replica = context.replica_id_in_sync_group
        batch = with_memory(batch, memory)
        return batch, normalizers, tf.cast(step, tf.uint32), tf.cast(replica, tf.uint32)
