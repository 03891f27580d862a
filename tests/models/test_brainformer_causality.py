"""The causal stack sees no future, and with its memory no less of the past than it should."""

import numpy as np
import pytest
import tensorflow as tf

from tests.long_cases import long_cases
from tests.models.small_brainformer import TOP_2, VOCABULARY, make, run, tokens

GATES = {
    "softmax": {"gate": "softmax"},
    "top_k": {},
    "noisy_top_k": {"gate": "noisy_top_k"},
    "switch": {"gate": "switch", "num_selected_experts": 1},
    "gshard": {"gate": "gshard"},
    "frozen_random": {"gate": "frozen_random", "num_selected_experts": 5},
    "capacity": {
        "router": "tokens_choose",
        "batch_prioritized_routing": False,
        "num_selected_experts": 1,
        "gate": "softmax",
        "capacity_factor": 0.5,
    },
}
SHARED = {"share_block_weights": True}
CAUSAL = [
    ("fsfs", {}, {**SHARED, "adapt_span": True, "adapt_span_init": 0.5}),
    ("gs.sg", {}, SHARED),
    ("sg", GATES["capacity"], SHARED),
    *long_cases(
        ("sf", {}, {}),
        ("f.s.ff", {}, {"attend_to_self": True}),
        ("sfgggfff", {}, {"norm": "pre", "activation": "gated_gelu"}),
        *((text, gate, SHARED) for text in ("sgfgfg", "gs.sg") for gate in GATES.values()),
    ),
]


@pytest.mark.parametrize("architecture, gate, options", CAUSAL)
def test_changing_a_token_changes_no_earlier_output(architecture, gate, options):
    if "g" in architecture:
        options = {**options, "routing": {**TOP_2, **gate}}
    backbone = make(architecture, **options)
    output = tf.function(lambda token_ids: run(backbone, token_ids)[0], autograph=False)
    token_ids = tokens(12, batch=1).numpy()
    y = np.asarray(output(tf.constant(token_ids)))
    for place in (1, 6, 11):
        effect = 0.0
        for token in range(0, VOCABULARY, 2):
            other = token_ids.copy()
            other[0, place] = token
            changed = np.asarray(output(tf.constant(other)))
            np.testing.assert_allclose(changed[:, :place], y[:, :place], atol=1e-6)
            effect = max(effect, np.abs(changed - y).max())
        assert effect > 1e-3


@pytest.mark.parametrize(
    "architecture, options",
    [
        ("fsgs", {}),
        ("sf.sf", {**SHARED, "adapt_span": True, "adapt_span_init": 0.4}),
        *long_cases(
            ("sgfgfg.sgfgfg", SHARED),
            ("sf.sf", {**SHARED, "attend_to_self": True}),
            ("sfgggfff", {"norm": "pre", "activation": "gated_gelu"}),
        ),
    ],
)
def test_two_blocks_with_memory_between_equal_one_of_both(architecture, options):
    backbone = make(architecture, **{"attn_span": 32, **options})
    token_ids = tokens(128)
    whole, memory = run(backbone, token_ids)
    first, between = run(backbone, token_ids[:, :64])
    second, after = run(backbone, token_ids[:, 64:], between)
    np.testing.assert_allclose(tf.concat([first, second], axis=1), whole, atol=2e-5)
    np.testing.assert_allclose(after, memory, atol=2e-5)
    # Without the memory the second half is another text.
    assert np.abs(run(backbone, token_ids[:, 64:])[0] - second).max() > 1e-2


def test_memory_carries_no_gradient():
    backbone = make("sf")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(run(backbone, tokens(4))[1])
    assert set(tape.gradient(loss, [v.value for v in backbone.trainable_variables])) == {None}


def test_cutting_the_work_to_the_learned_spans_changes_nothing():
    backbone = make("sf.sf", attn_span=200, adapt_span=True, adapt_span_ramp=16)
    first, second = (a.adaptive_span.reach for a in backbone.attentions.values())
    first.assign([0.0, 0.1])
    second.assign([0.3, 0.5])
    assert backbone.needed_spans() == (72, 136)
    learned = list(backbone.learned_spans().values())
    np.testing.assert_allclose(learned, [[0, 20], [60, 100]], rtol=1e-6)
    memory = tf.random.stateless_normal((2, 2, 200, 8), seed=[1, 2])
    whole = run(backbone, tokens(12), memory)
    assert backbone.attend_to(backbone.needed_spans())
    assert not backbone.attend_to(backbone.needed_spans())
    cut = run(backbone, tokens(12), memory)
    assert cut[1].shape == memory.shape
    for ours, theirs in zip(cut, whole, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    backbone.attend_to((8, 8))
    assert np.abs(run(backbone, tokens(12), memory)[0] - whole[0]).max() > 1e-3
