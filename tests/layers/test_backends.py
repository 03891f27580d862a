"""The layers give the same numbers under TensorFlow and JAX, compiled and with dropout on."""

import numpy as np
import pytest

from tests.layers.numbers_of_layers import numbers
from tests.under_jax import under_jax

pytestmark = pytest.mark.tensorflow
FIT = """
import keras, numpy as np
from sparse_mixer_tf.layers import MixtureOfExperts
x = np.ones((2, 3, 4), "float32")
for router in ("experts_choose", "tokens_choose", "dropless"):
    model = keras.Sequential([MixtureOfExperts(8, {"num_experts": 2, "router": router})])
    model.compile("sgd", "mse")
    model.fit(x, x, verbose=0)
    print(router, model.jit_compile)
"""


# All but the laws of routing, which `make test-jax` tries too: to JAX every shape is a program.
FILES = [
    f"tests/layers/test_{name}.py"
    for name in (
        "activations",
        "adaptive_span",
        "contract",
        "encoder_parts",
        "mixing",
        "randomness",
        "reference_numbers",
        "reference_routing",
        "relative_attention",
        "routing_settings",
    )
]


@pytest.mark.long("repeats the tests of layers on JAX")
def test_the_tests_of_layers_hold_on_jax():
    under_jax("-m", "pytest", "-m", "not tensorflow", "-p", "no:xdist", "--tb=short", *FILES)


def test_jax_gives_the_numbers_of_tensorflow(tmp_path):
    path = tmp_path / "jax.npz"
    under_jax("-m", "tests.layers.numbers_of_layers", str(path))
    ours, theirs = numbers(), np.load(path)
    assert set(ours) == set(theirs.files)
    largest = {}
    for name, value in ours.items():
        layer = name.split("/")[0]
        largest[layer] = max(np.abs(value).max(), largest.get(layer, 0.0))
    for name, expected in ours.items():
        # Some gradients, that of a key's bias for one, are zero but for the rounding of their
        # terms, which are as large as those of the others.
        scale = max(np.abs(expected).max(), 0.05 * largest[name.split("/")[0]])
        np.testing.assert_allclose(theirs[name] / scale, expected / scale, atol=2e-5, err_msg=name)


def test_fit_compiles_every_router_under_jax():
    said = under_jax("-c", FIT).splitlines()
    assert said == ["experts_choose True", "tokens_choose True", "dropless True"]
