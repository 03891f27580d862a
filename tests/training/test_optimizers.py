import keras
import numpy as np
import pytest

from sparse_mixer_tf.training.optimizers import (
    Adagrad,
    WarmupDecay,
    adamw,
    decay_factor,
    warmup_factor,
)
from tests.reference_files import read_arrays, read_config, reference_names


def test_schedule_factors_equal_the_original_up_to_its_jump_at_the_end():
    fixture = read_arrays("sparse_mixers", "lr_schedule")
    steps, base, warmup, total = fixture["in/steps"], 1e-4, 100, 1000
    before_the_end = steps < total

    def ours(decay, with_warmup=True):
        return [
            base
            * (float(warmup_factor(step, warmup)) if with_warmup else 1.0)
            * float(decay_factor(step, decay, warmup, total))
            for step in steps
        ]

    for name, rates in (
        ("pretrain_wd", ours("linear")),
        ("constant*linear_warmup*cosine_decay", ours("cosine")),
        ("constant*linear_warmup*rsqrt_decay", ours("rsqrt")),
        ("constant*rsqrt_normalized_decay", ours("rsqrt_normalized", with_warmup=False)),
    ):
        expected = fixture[f"out/{name}"]
        np.testing.assert_allclose(
            np.array(rates)[before_the_end], expected[before_the_end], rtol=2e-4, atol=1e-12
        )
        if "rsqrt" not in name:
            assert rates[-1] == 0.0 < expected[-1]


@pytest.mark.parametrize("name", reference_names("brainformer", "adagrad_clip*"))
def test_four_steps_of_adagrad_equal_the_original(name):
    reference, config = read_arrays("brainformer", name), read_config("brainformer", name)
    variables = [keras.Variable(reference[f"p_init/{index}"]) for index in range(2)]
    optimizer = Adagrad(config["lr"], max_tensor_norm=config["grad_clip"] or None)
    optimizer.build(variables)
    for step in range(4):
        gradients = [reference[f"grad/{index}_step{step}"] for index in range(2)]
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients])
        for index, variable in enumerate(variables):
            expected = reference[f"p{index}_step{step}"]
            np.testing.assert_allclose(variable, expected, rtol=1e-5, atol=1e-7)
            expected = reference[f"sum{index}_step{step}"]
            np.testing.assert_allclose(optimizer.accumulators[index], expected, rtol=1e-5)


def test_the_rate_of_a_character_model_is_the_original_one_update_earlier():
    reference, config = (
        read_arrays("brainformer", "schedule"),
        read_config("brainformer", "schedule"),
    )
    schedule = WarmupDecay(config["lr"], config["lr_warmup"], total_steps=100, decay="constant")
    expected = reference["lr_used_at_update"]
    assert expected[0] == 0
    rates = [float(schedule(step)) for step in range(len(expected) - 1)]
    np.testing.assert_allclose(rates, expected[1:], rtol=1e-6)


def test_the_first_update_moves_and_the_rate_ends_at_zero():
    schedule = WarmupDecay(1.0, warmup_steps=4, total_steps=10)
    rates = [float(schedule(step)) for step in range(12)]
    np.testing.assert_allclose(
        rates, [0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0, 0], atol=1e-6
    )
    assert float(WarmupDecay(1.0, 0, 10)(0)) == 1.0


def test_an_unknown_decay_is_refused():
    with pytest.raises(ValueError, match="'cubic' is unknown; expected one of linear"):
        decay_factor(0, "cubic", 1, 10)


def _reference(value, gradients, rate, decay):
    """AdamW as its paper has it, in float64."""
    first = second = np.zeros_like(value)
    for step, gradient in enumerate(gradients, start=1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        update = (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-6)
        value = value - rate * (update + decay * value)
    return value


@pytest.mark.parametrize("decay_all", [False, True])
def test_adamw_equals_the_paper_with_epsilon_after_the_bias_correction(decay_all):
    random = np.random.RandomState(0)
    # Gradients near epsilon, so that its place decides the result.
    gradients = [random.randn(3).astype("float32") * 1e-6 for _ in range(5)]
    start = random.randn(3).astype("float32")
    kernel = keras.Variable(start, name="kernel")
    bias = keras.Variable(start, name="bias")
    optimizer = adamw(0.1, weight_decay=0.5, decay_all_weights=decay_all)
    optimizer.build([kernel, bias])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)] * 2)
    np.testing.assert_allclose(
        kernel.numpy(), _reference(start, gradients, 0.1, 0.5), rtol=2e-5, atol=5e-6
    )
    bias_decay = 0.5 if decay_all else 0.0
    np.testing.assert_allclose(
        bias.numpy(), _reference(start, gradients, 0.1, bias_decay), rtol=2e-5, atol=5e-6
    )


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4)])
def test_adagrad_lowers_the_rate_by_the_norm_of_the_whole_tensor(shape, given):
    rng = np.random.default_rng(0)
    start = rng.normal(size=shape)
    # The first is above the largest norm, the second below.
    gradients = [rng.normal(size=shape) * scale for scale in (1.0, 1e-3)]
    variable = keras.Variable(start)
    optimizer = Adagrad(learning_rate=0.1, max_tensor_norm=0.05)
    optimizer.build([variable])
    value, accumulator, lowered = start, np.zeros(shape), []
    for gradient in gradients:
        # A norm that is given is believed, so that one which is ignored would show.
        norm = np.sqrt((gradient**2).sum()) * (2 if given else 1)
        known = {"norms": np.array([norm], "float32")} if given else {}
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [variable], **known)
        accumulator = accumulator + gradient**2
        factor = min(1.0, 0.05 / norm)
        lowered.append(factor < 1)
        value = value - 0.1 * factor * gradient / np.sqrt(accumulator)
        np.testing.assert_allclose(variable, value, rtol=1e-5, atol=1e-6)
    assert lowered == [True, False]
