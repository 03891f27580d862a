from collections import Counter

import tensorflow as tf

from benchmarks.operations import EXPERTS, OTHERS, by_kind, operations_of, traced
from sparse_mixer_tf.settings import ModelSettings


def test_operations_are_added_up_by_kind():
    milliseconds = Counter(
        {
            "model/sublayer_01_g/moe/experts/MatMul:_MklBatchMatMulV2": 3.0,
            "gradient_tape/model/sublayer_01_g/moe/experts/MatMul/MatMul_1:BatchMatMulV2": 4.0,
            "model/sublayer_01_g/moe/router/Tensordot/MatMul:_MklMatMul": 1.0,
            "model/sublayer_02_f/intermediate/MatMul:_MklFusedMatMul": 2.0,
            "model/sublayer_02_f/Mul:Mul": 0.5,
            "model/softmax:_MklSoftmax": 0.25,
        }
    )
    assert by_kind(milliseconds) == {EXPERTS: 7.0, OTHERS: 3.0, "Mul": 0.5, "Softmax": 0.25}


def test_work_of_experts_is_apart_from_the_rest():
    sizes = {"d_model": 8, "d_ff": 16, "num_heads": 2, "num_experts": 2}
    mixed = operations_of(ModelSettings(architecture="gf", **sizes), 50, 2, 96)
    dense = operations_of(ModelSettings(architecture="ff", **sizes), 50, 2, 96)
    # Experts that take every token once multiply as the dense layer does; the router, besides.
    router = 2 * 96 * 2 * 8 * 2
    assert mixed[EXPERTS] - router == dense[OTHERS] - mixed[OTHERS] == 2 * 96 * 4 * 8 * 16
    assert EXPERTS not in dense


def test_a_trace_has_the_operations_of_a_function():
    x = tf.ones((64, 64))
    function = tf.function(lambda: tf.reduce_sum(tf.exp(x) @ x))
    kinds = by_kind(traced(lambda: function().numpy(), 2))
    assert kinds[OTHERS] > 0 and kinds["Exp"] > 0
    # Neither the function as a whole, nor what TensorFlow calls to run it.
    assert not any(
        ":" in kind or "__inference" in kind or " " in kind for kind in {*kinds} - {OTHERS}
    )
