"""The processes that train one model together, and what they must agree on."""

import json
import os
from dataclasses import dataclass

import tensorflow as tf

from sparse_mixer_tf.settings import SettingsError


@dataclass(frozen=True)
class Cluster:
    """This process among those of `TF_CONFIG`.

    Attributes:
        index: of this process; 0 is the chief, which alone writes to the workdir.
        size: processes.
    """

    index: int = 0
    size: int = 1

    @property
    def is_chief(self) -> bool:
        return self.index == 0


def from_environment() -> Cluster:
    """The cluster that `TF_CONFIG` describes; of one process if it is not set.

    It is JSON: `{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker",
    "index": 0}}`, with another index in every process.

    Raises:
        SettingsError: it is something else.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return Cluster()
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        cluster = Cluster(int(task["index"]), len(workers))
        if task["type"] != "worker" or not 0 <= cluster.index < cluster.size:
            raise ValueError(f"no worker {task['type']}:{task['index']} among {cluster.size}")
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f'TF_CONFIG={text}: {error!r}; expected {{"cluster": {{"worker": ["host:port", …]}}, '
            '"task": {"type": "worker", "index": 0}}; python -m sparse_mixer_tf.launch sets it'
        ) from None
    return cluster


class Agreement:
    """Numbers added up over all processes; calling it is also a barrier.

    Args:
        strategy: of all processes.
        cluster: this one among them; alone, nothing is communicated.
    """

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster):
        self._strategy, self._cluster = strategy, cluster
        self._added = tf.function(
            lambda value: strategy.reduce(
                tf.distribute.ReduceOp.SUM, strategy.run(lambda x: x, (value,)), axis=None
            ),
            autograph=False,
        )

    def total(self, value: float) -> float:
        """The sum over processes."""
        if self._cluster.size == 1:
            return float(value)
        total = float(self._added(tf.constant(value, tf.float32)))
        return total * self._cluster.size / self._strategy.num_replicas_in_sync

    def any(self, value: bool) -> bool:
        """Return whether it is true in one of the processes."""
        return self.total(float(value)) > 0

    def check_same(self, what: str, value: int) -> None:
        """Checks that all processes found the same.

        Raises:
            SettingsError: they did not.
        """
        if self.any(self.total(value) != self._cluster.size * value):
            raise SettingsError(
                f"worker {self._cluster.index} finds {what} {value}, another one does not; "
                "--workdir must be on a file system that all of them share"
            )
