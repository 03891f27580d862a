"""The devices that a run trains on."""

import functools

import tensorflow as tf

from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.training.distributed.cluster import from_environment


def make_strategy(
    name: str, virtual_devices: int = 0, tpu: str | None = None
) -> tf.distribute.Strategy:
    """The `tf.distribute` strategy of `--strategy`.

    Must be called before TensorFlow touches a device when it is not on one GPU or CPU.

    Args:
        name: `one_device`, `mirrored` over every GPU or virtual CPU device, `multi_worker` over the
            processes of `TF_CONFIG`, `tpu`, or `auto`, which is the last of these that there is.
        virtual_devices: split the CPU into this many devices; 0 leaves it whole.
        tpu: `local`, a name, or `grpc://…`.

    Raises:
        SettingsError: what was asked for is not there, or comes too late.
    """
    workers = from_environment().size
    if name == "auto" and tpu:
        name = "tpu"
    if name == "tpu":
        return _tpu(tpu)
    if tpu:
        raise SettingsError(f"--tpu={tpu} does not fit --strategy={name}; use --strategy=tpu")
    if name == "multi_worker" or (name == "auto" and workers > 1):
        return _multi_worker(workers, virtual_devices)
    if workers > 1:
        raise SettingsError(
            f"--strategy={name} with TF_CONFIG of {workers} workers would train the same run in "
            "each of them; use --strategy=multi_worker, or unset TF_CONFIG"
        )
    if virtual_devices:
        _split_cpu(virtual_devices)
        devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    else:
        devices = [device.name for device in tf.config.list_logical_devices("GPU")] or ["/cpu:0"]
    if name == "auto":
        name = "mirrored" if len(devices) > 1 else "one_device"
    if name == "one_device":
        return tf.distribute.get_strategy()
    return mirrored(tuple(devices))


@functools.cache
def mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """The one `MirroredStrategy` of these devices.

    A second one would number its collectives from the start again, and meet those of the first.
    """
    return tf.distribute.MirroredStrategy(devices)


def _multi_worker(workers: int, virtual_devices: int) -> tf.distribute.Strategy:
    if workers == 1:
        raise SettingsError(
            "--strategy=multi_worker finds no second worker in TF_CONFIG; start the workers with "
            "python -m sparse_mixer_tf.launch --workers=2 -- …, or use --strategy=mirrored"
        )
    if virtual_devices:
        raise SettingsError(
            f"--virtual_devices={virtual_devices} does not fit --strategy=multi_worker, which "
            "uses the GPUs or the whole CPU of each process; leave it out"
        )
    return tf.distribute.MultiWorkerMirroredStrategy()


def _tpu(address: str | None) -> tf.distribute.Strategy:
    """Connects, then initialises the TPU system, which forgets everything made on it before."""
    if not address:
        raise SettingsError("--strategy=tpu needs --tpu=local, a name, or grpc://…")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=address)
        if address != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, OSError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(f"--tpu={address} cannot be used: {reason}") from None
    return tf.distribute.TPUStrategy(resolver)


def _split_cpu(count: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError:
        found = len(tf.config.list_logical_devices("CPU"))
        if found != count:
            raise SettingsError(
                f"--virtual_devices={count} comes too late: TensorFlow already runs {found} CPU "
                "device(s); start a new process"
            ) from None


def compiles_everything(strategy: tf.distribute.Strategy) -> bool:
    """Return whether XLA compiles every function, asked for or not."""
    return isinstance(strategy, tf.distribute.TPUStrategy)
