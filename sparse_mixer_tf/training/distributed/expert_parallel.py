"""Experts apart: every replica holds its own, and rows travel between replicas by all-to-all.

A variable of experts is one `tf.Variable` per replica (synchronised on read, never aggregated), of
which each holds other experts. Whoever looks from outside, as a checkpoint does, sees all of them
as one array, so that any number of replicas can take it up.
"""

import contextlib
import itertools
from collections import defaultdict

import keras
import numpy as np
import tensorflow as tf

from sparse_mixer_tf.settings import SettingsError

# Groups and instances of collectives that TensorFlow's own strategies do not number so high; every
# exchange of a process is a group of its own.
_groups, _FIRST_INSTANCE = itertools.count(1_000_000_007), 100_000
# What an all-to-all of varying length is rounded up to: one of so many.
_LENGTHS = 32


class ExpertExchange:
    """The `layers.expert_exchange.Exchange` of the replicas of a strategy.

    Args:
        strategy: of several replicas.

    Attributes:
        parts: how many there are.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self.strategy, self.parts = strategy, strategy.num_replicas_in_sync
        self._on_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
        self._group = next(_groups)
        self._paths, self._instances = set(), defaultdict(lambda: itertools.count(_FIRST_INSTANCE))
        with strategy.scope(), self.owned():
            # Collectives of one device run in the order of this variable, or they would deadlock.
            self._order = tf.Variable(0.0, trainable=False, name="exchange_order")

    @contextlib.contextmanager
    def owned(self):
        """See `Exchange`."""
        with tf.variable_creator_scope(_one_per_replica):
            yield

    def hand_out(self, variable, array) -> None:
        """See `Exchange`; from now on the variable counts as one of experts apart."""
        self._paths.add(variable.path)
        self.whole_variable(variable).assign(array)

    def is_between_replicas(self) -> bool:
        """See `Exchange`."""
        return tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context()

    def whole(self, variable) -> tf.Tensor:
        """See `Exchange`."""
        local = self.strategy.experimental_local_results(variable.value)
        if len(local) == self.parts:
            return tf.concat(local, axis=0)
        read = tf.function(lambda: self.strategy.run(lambda: tf.identity(variable.value)))
        return self.strategy.gather(read(), axis=0)

    def all_to_all(self, x, bound=None) -> tf.Tensor:
        """See `Exchange`; differentiable, its gradient is the exchange back."""
        if self._on_tpu:
            everyone = [list(range(self.parts))]
            return tf.raw_ops.AllToAll(
                input=x,
                group_assignment=everyone,
                concat_dimension=0,
                split_dimension=0,
                split_count=self.parts,
            )

        @tf.custom_gradient
        def exchanged(x):
            # An instance keeps the shape that it met first.
            kind = 0 if bound is None else tf.shape(x)[1] // _unit(bound)
            y = self._collective(tf.raw_ops.CollectiveAllToAllV2, x, kind)
            return y, lambda dy: self.all_to_all(dy, bound)

        return exchanged(x)

    def longest(self, length, bound):
        """See `Exchange`; one of a few lengths, on a TPU the bound whatever is needed."""
        if self._on_tpu:
            return bound
        maximum = {"merge_op": "Max", "final_op": "Id"}
        longest = self._collective(tf.raw_ops.CollectiveReduceV2, length, **maximum)
        return -(-longest // _unit(bound)) * _unit(bound)

    def is_apart(self, variable) -> bool:
        """Return whether a variable belongs to experts that replicas share out."""
        return variable.path in self._paths

    def build(self, optimizer: keras.optimizers.Optimizer, variables: list) -> None:
        """Builds an optimizer, its state of experts apart as the experts are.

        It takes gradients as they are: Keras would sum those of different experts over replicas.
        """
        if not hasattr(optimizer, "_all_reduce_sum_gradients"):
            raise SettingsError(
                f"--expert_parallel: keras {keras.__version__} sums gradients elsewhere than up to "
                "3.15; install that one"
            )
        optimizer._all_reduce_sum_gradients = list
        begins = tuple(path.replace("/", "_") + "_" for path in self._paths)

        def creator(next_creator, **arguments):
            apart = (arguments.get("name") or "").startswith(begins)
            return (_one_per_replica if apart else _as_ever)(next_creator, **arguments)

        with tf.variable_creator_scope(creator):
            optimizer.build(variables)
        self._paths |= {v.path for v in optimizer.variables if v.name.startswith(begins)}

    def whole_variable(self, variable):
        """The variable itself, or where experts are apart, what stands for all of its parts."""
        return WholeVariable(variable, self) if self.is_apart(variable) else variable

    def memory_line(self, variables: list) -> str:
        """For people: what a replica holds of some variables, measured, and would hold otherwise.

        Args:
            variables: of model and optimizer.
        """

        def size(variable) -> int:
            return self.strategy.experimental_local_results(variable.value)[0].numpy().nbytes

        held = sum(map(size, variables))
        apart = sum(size(variable) for variable in variables if self.is_apart(variable))
        return (
            f"experts on {self.parts} replicas: each holds {held / 2**20:,.1f} MiB of weights and "
            f"optimizer state, not {(held + (self.parts - 1) * apart) / 2**20:,.1f} MiB"
        )

    def _collective(self, operation, x, kind=0, **options) -> tf.Tensor:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        # All replicas trace the same calls, so that the n-th call is the same everywhere.
        instance = next(self._instances[int(tf.get_static_value(replica))])
        return operation(
            input=x,
            group_size=self.parts,
            group_key=self._group,
            instance_key=instance * 2 * _LENGTHS + kind,
            ordering_token=[self._order.handle],
            **options,
        )


class WholeVariable:
    """All parts of a variable whose experts are apart, as one.

    It has the `path`, `shape`, `dtype`, `numpy` and `assign` of a variable, so that a checkpoint
    holds it as one array.
    """

    def __init__(self, variable, exchange: ExpertExchange):
        self._variable, self._exchange = variable, exchange
        self.path, self.dtype = variable.path, variable.dtype
        self.shape = (variable.shape[0] * exchange.parts, *variable.shape[1:])

    def numpy(self) -> np.ndarray:
        """The parts of all replicas; in several processes all of them must ask."""
        return self._exchange.whole(self._variable).numpy()

    def assign(self, array) -> None:
        """Gives each replica its part of `array`."""
        parts = np.split(np.asarray(array), self._exchange.parts)
        strategy = self._exchange.strategy
        ours = strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group], self.dtype)
        )
        held = strategy.experimental_local_results(self._variable.value)
        for part, values in zip(held, strategy.experimental_local_results(ours), strict=True):
            part.assign(values)


def check_expert_parallel(parts: int, replicas: int, model, training) -> None:
    """Checks that experts can be apart on these replicas.

    Args:
        parts: how many replicas are to share them out.
        replicas: how many there are.
        model: `ModelSettings`.
        training: `TrainingSettings`.

    Raises:
        SettingsError: they cannot; says what would fit.
    """
    flag = f"--expert_parallel={parts}"
    if parts == 1:
        return
    if "g" not in model.architecture:
        raise SettingsError(
            f"{flag}, but --architecture={model.architecture} has no experts (g); leave it out"
        )
    if parts != replicas:
        fix = f"use {flag.split('=')[0]}={replicas}, or " if replicas > 1 else "use "
        raise SettingsError(
            f"{flag} shares the experts out among {parts} replicas, there are {replicas}; {fix}"
            f"--virtual_devices={parts}, {parts} GPUs or {parts} workers"
        )
    if model.num_experts % parts:
        below = model.num_experts // parts * parts
        fixes = f"{below} or {below + parts}" if below else str(parts)
        raise SettingsError(
            f"--num_experts={model.num_experts} is not divisible by {flag}; use {fixes}"
        )
    if training.jit_compile == "true":
        raise SettingsError(
            f"--jit_compile=true does not fit {flag}: XLA knows the exchange between replicas on "
            "TPUs alone, which compile without being asked; use --jit_compile=auto"
        )


def _unit(bound: int) -> int:
    return -(-bound // _LENGTHS)


def _one_per_replica(next_creator, **arguments):
    arguments["synchronization"] = tf.VariableSynchronization.ON_READ
    arguments["aggregation"] = tf.VariableAggregation.NONE
    return next_creator(**arguments)


def _as_ever(next_creator, **arguments):
    return next_creator(**arguments)
