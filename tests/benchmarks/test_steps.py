"""The steps that are timed are those that train, on JAX too."""

from tests.under_jax import under_jax

LOSSES = """
import keras
from benchmarks import contestants
from sparse_mixer_tf.settings import ModelSettings
for factor in (0.0, 1.0):
    keras.utils.set_random_seed(0)
    settings = ModelSettings(
        architecture="gf", d_model=8, d_ff=16, num_experts=2, router_z_loss_factor=factor
    )
    step = contestants.ours(settings, contestants.Options(50, seq=96, batch=1)).train
    loss, _ = step()
    print(float(loss))
"""


def test_a_step_on_jax_has_the_losses_of_the_routers():
    without, both = (float(line) for line in under_jax("-c", LOSSES).splitlines())
    # Of two experts that are equally likely the z-loss is log(2) squared.
    assert abs(both - without - 0.48) < 0.1
