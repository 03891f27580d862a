import pytest
import tensorflow as tf

from sparse_mixer_tf.tpu.lowering import LoweringError, lower, place
from tests.tpu.jitted import jitted


def test_an_op_that_xla_lacks_is_named_with_its_sublayer():
    as_text = jitted(lambda x: tf.strings.length(tf.strings.as_string(x)))
    with pytest.raises(LoweringError, match="^serving: sublayer_03_g .*uses the op AsString"):
        lower("serving", as_text, tf.ones([8, 16]))


def test_a_function_is_lowered_with_the_names_of_its_layers():
    module = lower("step", jitted(tf.math.sin), tf.ones([8, 16]))
    assert b"sublayer_03_g" in module


@pytest.mark.parametrize(
    ("location", "found"),
    [
        (
            "gradient_tape/model_1/backbone_2/sublayer_03_g_1/moe_1/Where",
            "sublayer_03_g (moe/Where)",
        ),
        ("model/sublayer_11_s", "sublayer_11_s"),
        ("cond/adam_w/Pow_3", "cond/adam_w/Pow_3"),
    ],
)
def test_the_sublayer_is_found_in_the_name_of_an_op(location, found):
    assert place(location) == found
