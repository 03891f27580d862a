"""The steps that are timed are those that train, on JAX too."""

from tests.under_jax import under_jax

LOSS = """
import keras
from benchmarks import contestants
from sparse_mixer_tf.settings import ModelSettings
keras.utils.set_random_seed(0)
settings = ModelSettings(
    architecture="g", d_model=8, d_ff=8, num_experts=2, router_z_loss_factor=100.0
)
loss, _ = contestants.ours(settings, contestants.Options(50, seq=96, batch=1)).train()
print(float(loss))
"""


def test_a_step_on_jax_has_the_losses_of_the_routers():
    loss = float(under_jax("-c", LOSS))
    # Of two experts that are equally likely the z-loss is log(2) squared; about log(50) is the
    # loss of the masked words, log(2) that of the order.
    assert abs(loss - (100 * 0.48 + 3.9 + 0.7)) < 3
