import json

import pytest
import tensorflow as tf

from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.training.distributed.cluster import Agreement, Cluster, from_environment
from sparse_mixer_tf.training.distributed.strategy import make_strategy, mirrored


def _config(workers=2, index=1, kind="worker"):
    cluster = {"worker": [f"127.0.0.1:{2222 + i}" for i in range(workers)]}
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def test_without_a_cluster_the_process_is_its_own_chief(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert from_environment() == Cluster(0, 1) and from_environment().is_chief


def test_the_first_worker_is_the_chief(monkeypatch):
    for index, is_chief in ((0, True), (1, False)):
        monkeypatch.setenv("TF_CONFIG", _config(index=index))
        assert from_environment() == Cluster(index, 2)
        assert from_environment().is_chief == is_chief


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", _config(index=2), _config(kind="ps"), '{"cluster": {"worker": 3}}']
)
def test_a_cluster_that_is_none_is_refused_with_an_example(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(SettingsError, match="TF_CONFIG=.*expected"):
        from_environment()


@pytest.mark.parametrize(
    ("workers", "arguments", "message"),
    [
        (1, {"name": "multi_worker"}, "finds no second worker"),
        (2, {"name": "mirrored"}, "would train the same run in each of them"),
        (2, {"name": "multi_worker", "virtual_devices": 2}, "--virtual_devices=2 does not fit"),
        (1, {"name": "tpu"}, "needs --tpu="),
        (1, {"name": "mirrored", "tpu": "local"}, "--tpu=local does not fit"),
    ],
)
def test_what_cannot_work_is_told_before_any_device_is_touched(
    monkeypatch, workers, arguments, message
):
    monkeypatch.setenv("TF_CONFIG", _config(workers, index=0))
    with pytest.raises(SettingsError, match=message):
        make_strategy(**arguments)


class FakeTpu:
    """Notes what happens to a TPU, in order."""

    def __init__(self, monkeypatch, error=None):
        self.calls = []

        def note(name, fails=None):
            def call(*arguments, **named):
                self.calls.append((name, *named.values()))
                if fails:
                    raise fails
                return name

            return call

        resolvers = tf.distribute.cluster_resolver
        monkeypatch.setattr(resolvers, "TPUClusterResolver", note("resolve", error))
        monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", note("connect"))
        monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", note("initialize"))
        monkeypatch.setattr(tf.distribute, "TPUStrategy", note("strategy"))


@pytest.mark.parametrize("name", ["tpu", "auto"])
def test_a_tpu_is_connected_then_initialised_then_used(monkeypatch, name):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for address in ("node-1", "grpc://10.0.0.2:8470"):
        tpu = FakeTpu(monkeypatch)
        assert make_strategy(name, tpu=address) == "strategy"
        expected = [("resolve", address), ("connect",), ("initialize",), ("strategy",)]
        assert tpu.calls == expected


def test_a_local_tpu_needs_no_connection(monkeypatch):
    tpu = FakeTpu(monkeypatch)
    make_strategy("tpu", tpu="local")
    assert tpu.calls == [("resolve", "local"), ("initialize",), ("strategy",)]


def test_a_tpu_that_is_not_there_is_one_line(monkeypatch):
    FakeTpu(monkeypatch, ValueError("no TPU called nowhere\nmore"))
    with pytest.raises(SettingsError, match="--tpu=nowhere cannot be used: no TPU called nowhere$"):
        make_strategy("tpu", tpu="nowhere")


def test_replicas_of_the_same_devices_share_one_strategy():
    assert mirrored(("CPU:0", "CPU:1")) is mirrored(("CPU:0", "CPU:1"))


def test_a_process_alone_agrees_with_itself():
    agreement = Agreement(tf.distribute.get_strategy(), Cluster())
    assert agreement.total(2.5) == 2.5
    assert agreement.any(True) and not agreement.any(False)
    agreement.check_same("a checkpoint of step", 7)
