"""Attention over a block and its memory: by hand, by reference numbers, and by what it costs."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from sparse_mixer_tf.layers import AdaptiveSpan, RelativeSelfAttention, random_key
from sparse_mixer_tf.layers.attention.relative_shift import chunk_size, remember, skew, unskew
from tests.layers.backend import compiled, gradients
from tests.layers.numpy_attention import attention
from tests.layers.reference import assert_close, assert_gradient_close
from tests.long_cases import long_cases
from tests.reference_files import read_arrays, read_config, reference_names

D_MODEL, HEADS = 8, 2
PROJECTIONS = {"query": "query", "key": "key", "value": "val", "out": "out"}


def make(span, adaptive=None, **options):
    keras.utils.set_random_seed(5)
    layer = RelativeSelfAttention(
        HEADS, span, adaptive_span=adaptive, initializer="torch", **options
    )
    layer.build((None, None, D_MODEL))
    return layer


def sample(block, rows, span, batch=2):
    rng = np.random.default_rng(0)
    shapes = ((batch, block, D_MODEL), (batch, rows, D_MODEL), (span, D_MODEL // HEADS))
    return [rng.standard_normal(shape).astype("float32") for shape in shapes]


def by_hand(layer, x, memory, table, mask=None):
    weights = {name: np.asarray(getattr(layer, name).kernel, "float64") for name in PROJECTIONS}
    arrays = [np.asarray(value, "float64") for value in (x, memory, table)]
    return attention(*arrays, weights, HEADS, mask=mask, attend_to_self=layer.attend_to_self)


@pytest.mark.parametrize("attend_to_self", [False, True])
@pytest.mark.parametrize(
    "block, rows, span",
    [
        (5, 7, 7),
        (1, 6, 6),
        (9, 4, 4),
        (8, 4, 4),
        (4, 3, 8),
        (96, 8, 8),
        (120, 20, 20),
        (160, 32, 64),
    ],
)
def test_it_is_what_is_written_down_by_hand(block, rows, span, attend_to_self):
    layer = make(span, attend_to_self=attend_to_self)
    x, memory, table = sample(block, rows, span)
    assert_close(layer(x, memory, table), by_hand(layer, x, memory, table))


@pytest.mark.parametrize("attended, block", [(200, 3), (136, 3), (136, 9)])
def test_slots_beyond_the_learned_spans_can_be_cut_away(attended, block):
    adaptive = AdaptiveSpan(HEADS, 200, ramp=32)
    layer = make(200, adaptive)
    adaptive.reach.assign([0.1, 0.45])
    assert adaptive.needed_span() == 136
    layer.attended_span = attended
    x, memory, table = sample(block, 200, 200)

    def mask(head, back):
        return np.clip(1 + ((0.1, 0.45)[head] * 200 - back) / 32, 0, 1)

    assert_close(layer(x, memory, table), by_hand(layer, x, memory, table, mask))


def test_a_block_cut_into_chunks_gives_the_numbers_of_a_whole_one(monkeypatch):
    layer = make(16)
    x, memory, table = sample(144, 16, 16)
    assert chunk_size(144, 16) == 16

    def loss(x, memory, table):
        y = layer(x, memory, table)
        return ops.sum(y**3), y

    def run():
        y, found = gradients(loss, [x, memory, table])
        return [y, *found]

    cut = run()
    monkeypatch.setattr(
        "sparse_mixer_tf.layers.attention.relative_attention.chunk_size", lambda *_: None
    )
    for ours, theirs in zip(cut, run(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_rows_that_were_never_filled_take_their_share_of_attention():
    layer = make(6)
    x, memory, table = sample(2, 6, 6)
    few = np.concatenate([np.zeros_like(memory[:, :4]), memory[:, 4:]], axis=1)
    assert_close(layer(x, few, table), layer(x, memory[:, 4:], table))
    # Were they masked, the first token would see only the two rows that are there.
    nearest = make(2)
    nearest.set_weights(layer.get_weights())
    masked = nearest(x[:, :1], memory[:, 4:], table[4:])
    assert np.abs(masked - layer(x, few, table)[:, :1]).max() > 1e-2


@pytest.mark.parametrize("name", reference_names("brainformer", "attn_*"))
@pytest.mark.parametrize("trimmed", [True, False])
def test_it_matches_the_original_forward_and_backward(name, trimmed):
    reference, config = read_arrays("brainformer", name), read_config("brainformer", name)
    adaptive = None
    if config["adapt"]:
        adaptive = AdaptiveSpan(config["heads"], config["span"], config["ramp"], loss_factor=2e-6)
    layer = RelativeSelfAttention(config["heads"], config["span"], adaptive_span=adaptive)
    layer.build(reference["h"].shape)
    pairs = [(getattr(layer, ours).kernel, f"proj_{t}.weight") for ours, t in PROJECTIONS.items()]
    if adaptive is not None:
        pairs.append((adaptive.reach, "attn.adaptive_span._mask.current_val"))

    def in_our_layout(array):
        return array.reshape(-1) if array.shape[1:] == (1, 1) else array.T

    for variable, theirs in pairs:
        variable.assign(in_our_layout(reference[f"param/{theirs}"]))
    if adaptive is not None:
        assert adaptive.needed_span() == config["span"] - reference["trim_len"]
        if trimmed:
            layer.attended_span = adaptive.needed_span()
    inputs = [reference["h"], reference["cache"], reference["key_pe"][0].T]

    def loss_of(*inputs):
        y = layer(*inputs)
        loss = ops.sum(y * reference["cotangent"]) + 1e4 * sum(layer.losses)
        return loss, (y, loss)

    (y, loss), found = gradients(loss_of, inputs, [variable for variable, _ in pairs])
    expected = [reference["f64/grad_h"], reference["f64/grad_cache"]]
    expected.append(reference["f64/grad_key_pe"][0].T)
    expected += [in_our_layout(reference[f"f64/grad/{theirs}"]) for _, theirs in pairs]
    assert_close(y, reference["f64/out"])
    np.testing.assert_allclose(loss, reference["f64/loss"], rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(found, expected, strict=True):
        assert_gradient_close(ours, theirs)


def test_skewing_and_back_match_the_original():
    numbers = read_arrays("brainformer", "skew")
    np.testing.assert_array_equal(unskew(numbers["unskew_in"], 5), numbers["unskew_out"])
    np.testing.assert_array_equal(skew(numbers["skew_in"]), numbers["skew_out"])


def test_skewing_is_undone_by_unskewing():
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 6)).astype("float32")
    wide = np.asarray(skew(x))
    assert wide.shape == (2, 3, 4, 10)
    for row in range(4):
        np.testing.assert_array_equal(wide[..., row, row : row + 6], x[..., row, :])
    assert np.count_nonzero(wide) == x.size
    np.testing.assert_array_equal(unskew(wide, 6), x)


def test_skewing_fills_the_columns_of_no_slot():
    x = np.arange(1, 7, dtype="float32").reshape(2, 3)
    expected = [[1, 2, 3, -9, -9], [-9, 4, 5, 6, -9]]
    np.testing.assert_array_equal(skew(x, elsewhere=-9.0), expected)


def test_the_gradient_of_skewing_moves_rows_back():
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 6)).astype("float32")
    upstream = np.random.default_rng(2).standard_normal((2, 3, 4, 10)).astype("float32")
    _, (gradient,) = gradients(lambda x: (ops.sum(skew(x) * upstream), None), [x])
    for row in range(4):
        np.testing.assert_array_equal(gradient[..., row, :], upstream[..., row, row : row + 6])


@pytest.mark.tensorflow
@pytest.mark.parametrize("block, span", [(32, 48), (64, 16), (32, 32), (7, 64), (160, 64)])
def test_nothing_larger_than_block_by_block_and_span_is_computed(block, span):
    import tensorflow as tf

    layer = make(span, dropout_rate=0.5)
    x, memory, table = sample(block, span, span, batch=1)

    @tf.function(autograph=False)
    def step(x, memory, table):
        with random_key(np.array([1, 2], np.uint32)), tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, memory, table, training=True) ** 2)
        return tape.gradient(loss, [v.value for v in layer.trainable_variables])

    graph = step.get_concrete_function(x, memory, table).graph
    sizes = [t.shape.num_elements() for op in graph.get_operations() for t in op.outputs]
    # One column more while rows are shifted against each other.
    assert max(size or 0 for size in sizes) <= HEADS * block * (block + span + 1)


def test_a_short_span_costs_a_long_block_no_more_than_the_span_squared_a_chunk():
    assert chunk_size(512, 64) == 64
    assert chunk_size(512, 192) == 64
    assert chunk_size(512, 448) == 64
    assert chunk_size(512, 1024) == 256
    assert chunk_size(256, 512) is None
    assert chunk_size(None, 64) is None
    # Every row would be copied into fifteen windows.
    assert chunk_size(480, 448) is None


def test_memory_holds_the_latest_rows_and_lets_no_gradient_through():
    x, memory, _ = sample(3, 5, 5)
    rows = np.concatenate([memory, x], axis=1)
    np.testing.assert_array_equal(remember(memory, x), rows[:, 3:])
    long = np.concatenate([rows, rows], axis=1)
    np.testing.assert_array_equal(remember(memory, long), rows[:, 3:])
    _, found = gradients(lambda x, memory: (ops.sum(remember(memory, x)), None), [x, memory])
    assert not any(np.any(gradient) for gradient in found)


def test_dropout_falls_on_probabilities_in_training_alone():
    layer = make(6, dropout_rate=0.5)
    x, memory, table = sample(4, 6, 6)

    def run(key, training):
        with random_key(np.array([key, 2], np.uint32)):
            return np.asarray(layer(x, memory, table, training=training))

    np.testing.assert_array_equal(run(1, training=True), run(1, training=True))
    assert np.abs(run(1, training=True) - run(2, training=True)).max() > 1e-2
    np.testing.assert_array_equal(run(1, training=False), run(2, training=False))


@pytest.mark.parametrize("xla", [True, *long_cases(False)])
def test_a_compiled_layer_gives_the_numbers_of_an_eager_one(xla):
    layer = make(8, AdaptiveSpan(HEADS, 8, ramp=4, initial_span=0.5))
    inputs = sample(8, 8, 8)
    np.testing.assert_allclose(compiled(layer, xla)(*inputs), layer(*inputs), atol=1e-5)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="d_model=8 is not divisible by num_heads=3"):
        RelativeSelfAttention(3, 4).build((None, None, 8))


def test_the_config_goes_through_json_and_gives_the_same_layer():
    layer = make(6, AdaptiveSpan(HEADS, 6, ramp=3, initial_span=0.5), attend_to_self=True)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    copy = keras.saving.deserialize_keras_object(config)
    assert json.dumps(copy.get_config()) == json.dumps(layer.get_config())
    copy.set_weights(layer.get_weights())
    inputs = sample(3, 6, 6)
    np.testing.assert_array_equal(copy(*inputs), layer(*inputs))
    shapes = [tuple(value.shape) for value in inputs]
    assert layer.compute_output_shape(*shapes) == (2, 3, D_MODEL)


def test_bfloat16_keeps_the_softmax_in_float32():
    full = make(8)
    keras.utils.set_random_seed(5)
    half = RelativeSelfAttention(HEADS, 8, dtype="mixed_bfloat16")
    half.build((None, None, D_MODEL))
    half.set_weights(full.get_weights())
    inputs = sample(5, 8, 8)
    y = half(*inputs)
    assert y.dtype == "bfloat16"
    assert 0 < np.abs(np.asarray(y, "float32") - full(*inputs)).max() < 0.05
