import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from sparse_mixer_tf.autotune.xla import ALL, ELEMENTWISE, NOTHING, compiled, known_compilation


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [((0.3, 0.2, 0.4), ELEMENTWISE), ((0.3, 0.2, 0.1), ALL), ((0.2, 0.2, 0.2), NOTHING)],
)
def test_the_fastest_is_chosen_on_a_cpu_and_said(seconds, expected):
    said = []
    times = dict(zip((NOTHING, ELEMENTWISE, ALL), seconds, strict=True))
    assert known_compilation("auto", "cpu", times.get, say=said.append) == expected
    graph, elementwise, xla = (f"{1e3 * value:.0f} ms" for value in seconds)
    assert said == [
        f"--jit_compile=auto: graph {graph}, elementwise by XLA {elementwise}, XLA {xla} a step, "
        f"so {expected}"
    ]


def test_on_a_gpu_all_or_nothing_is_timed():
    timed = []

    def measure(way: str) -> float:
        timed.append(way)
        return {NOTHING: 0.2, ALL: 0.1}[way]

    assert known_compilation("auto", "gpu", measure, say=lambda line: None) == ALL
    assert timed == [NOTHING, ALL]


def test_workers_choose_what_is_faster_for_all_of_them():
    of_the_other = iter([0.1, 0.5, 0.1])
    chosen = known_compilation(
        "auto", "cpu", {NOTHING: 0.3, ELEMENTWISE: 0.1, ALL: 0.4}.get,
        total=lambda own: own + next(of_the_other), say=lambda line: None,
    )  # fmt: skip
    assert chosen == NOTHING


def _never(way: str) -> float:
    raise AssertionError(f"{way} is timed")


@pytest.mark.parametrize("asked", [NOTHING, ELEMENTWISE, ALL])
def test_what_is_asked_for_is_taken_untimed(asked):
    assert known_compilation(asked, "cpu", _never) == asked


@pytest.mark.parametrize(("device", "can_compile"), [("tpu", True), ("cpu", False)])
def test_where_there_is_no_choice_nothing_is_timed(device, can_compile):
    assert known_compilation("auto", device, _never, can_compile) == NOTHING


def _operations(way: str) -> tuple[set[str], np.ndarray]:
    """Return the operations of a product between elementwise chains, and its result."""

    @tf.function(autograph=False)
    def product(x, y):
        x = tf.tanh(tf.square(x) * 3.0 + x) * 2.0 - x
        return tf.tanh(tf.square(x @ y) * 3.0 + 1.0) * 2.0 - 1.0

    x = tf.reshape(tf.range(64.0) / 64.0, (8, 8))
    context.enable_run_metadata()
    try:
        result = compiled(way, product)(x, x).numpy()
        graphs = context.export_run_metadata().partition_graphs
    finally:
        context.disable_run_metadata()
    return {node.op for graph in graphs for node in graph.node}, result


def test_xla_takes_what_lies_between_products_inside_the_block_alone():
    before, plain = _operations(NOTHING)
    inside, fused = _operations(ELEMENTWISE)
    after, again = _operations(NOTHING)
    assert "_XlaRun" in inside and any(name.endswith("MatMul") for name in inside)
    for outside in (before, after):
        assert "_XlaRun" not in outside and "Tanh" in outside
    np.testing.assert_allclose(fused, plain, rtol=1e-5)
    np.testing.assert_array_equal(again, plain)


def test_a_call_is_compiled_so_and_nothing_around_it():
    seen = []

    def call(x, y):
        seen.append(tf.config.optimizer.get_jit())
        return x + y

    for way in (NOTHING, ELEMENTWISE, ALL):
        assert compiled(way, call)(1, 2) == 3
        assert tf.config.optimizer.get_jit() == ""
    assert seen == ["", "autoclustering", ""]
