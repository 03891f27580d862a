"""Which devices a run trains on."""

import tensorflow as tf

from sparse_mixer_tf.settings import SettingsError


def make_strategy(name: str, virtual_devices: int = 0) -> tf.distribute.Strategy:
    """The `tf.distribute` strategy of `--strategy`.

    Must be called before TensorFlow touches a device when `virtual_devices` is given.

    Args:
        name: `one_device`, `mirrored` over every GPU or virtual CPU device, or `auto`, which is
            `mirrored` where there is more than one of these.
        virtual_devices: split the CPU into this many devices; 0 leaves it whole.

    Raises:
        SettingsError: if virtual devices are asked for too late.
    """
    if virtual_devices:
        _split_cpu(virtual_devices)
        devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    else:
        devices = [device.name for device in tf.config.list_logical_devices("GPU")] or ["/cpu:0"]
    if name == "auto":
        name = "mirrored" if len(devices) > 1 else "one_device"
    if name == "one_device":
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(devices)


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
