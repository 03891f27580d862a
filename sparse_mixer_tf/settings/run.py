"""Settings of a run that change nothing of its result."""

import dataclasses
from dataclasses import dataclass

from sparse_mixer_tf.settings.fields import Checked, SettingsError, setting


@dataclass(frozen=True)
class RunSettings(Checked):
    """Settings of a run's folder, of its reports, and of failures.

    None of it changes the result of a run in which nothing fails.
    """

    strategy: str = setting(
        "auto",
        "Devices to train on; auto takes the --tpu, the workers of TF_CONFIG, or every GPU.",
        ("auto", "one_device", "mirrored", "multi_worker", "tpu"),
    )
    tpu: str | None = setting(None, "The TPU: local on a TPU VM, its name, or grpc://address.")
    virtual_devices: int = setting(0, "Split the CPU into this many devices.", least=0)
    parts_at_once: int = setting(
        1,
        "CPU: parts of a replica's batch that are computed at once, each on its share of the "
        "cores; with as many parts as cores, none waits for the others within an operation.",
        least=1,
    )
    expert_parallel: int = setting(
        1,
        "Replicas that share out the experts, each of which is on one of them; all replicas, or 1 "
        "where every replica holds every expert.",
        least=1,
    )
    eval_every: int = setting(1000, "Steps between evaluations.", least=1)
    evaluations: int | None = setting(
        None, "Evaluations spread evenly over the run, instead of --eval_every.", least=1
    )
    eval_steps: int | None = setting(
        None, "Evaluation batches; the whole validation split if not given.", least=1
    )
    checkpoint_every: int = setting(1000, "Steps between checkpoints.", least=1)
    checkpoints_to_keep: int = setting(2, "Newest checkpoints kept, besides the best.", least=1)
    log_every: int = setting(100, "Steps between progress lines.", least=1)
    inspect: bool = setting(
        True, "Look at experts, mixing and attention of the trained weights for the report."
    )
    profile: str | None = setting(
        None, "START:STOP: steps whose trace goes to tensorboard/, for its profiler plugin."
    )
    fork_from: str | None = setting(
        None,
        "WORKDIR@STEP: a new run that goes on from a checkpoint of another, with other flags; "
        "weights, optimizer and data position are its.",
    )
    on_nonfinite: str = setting(
        "stop",
        "An update whose loss or gradients are not finite is never applied: stop, or go on.",
        ("stop", "skip"),
    )
    on_spike: str = setting(
        "off",
        "An update whose loss or gradient norm stands far out from the last 100: apply it, skip "
        "it, or go back to the last checkpoint and on with the batches after it.",
        ("off", "skip", "rollback"),
    )
    watch_maintenance: str = setting(
        "auto",
        "Stop with a checkpoint when the metadata server of a Google Cloud machine announces that "
        "it is preempted or stopped for maintenance; auto watches under --strategy=tpu.",
        ("auto", "true", "false"),
    )
    max_skips_in_a_row: int = setting(
        10, "Stop when more updates in a row than this were skipped.", least=0
    )
    max_rollbacks: int = setting(3, "Stop when a run needs more rollbacks than this.", least=0)

    def __post_init__(self):
        super().__post_init__()
        if self.profile is None:
            return
        start, _, stop = self.profile.partition(":")
        if not (start.isdigit() and stop.isdigit() and int(start) < int(stop)):
            raise SettingsError(
                f"--profile={self.profile} is not START:STOP, two steps in their order; use 100:110"
            )

    def scheduled(self, train_steps: int) -> "RunSettings":
        """These settings with the evaluations counted out in steps."""
        if self.evaluations is None:
            return self
        every = -(-train_steps // self.evaluations)
        return dataclasses.replace(self, eval_every=every, evaluations=None)
