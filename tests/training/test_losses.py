import numpy as np

from sparse_mixer_tf.training.losses import cross_entropy_sums


def test_sums_equal_numpy_and_leave_out_weightless_predictions():
    random = np.random.RandomState(0)
    logits = random.randn(4, 3, 7).astype("float32") * 3
    labels = random.randint(7, size=(4, 3))
    weights = random.randint(2, size=(4, 3)).astype("float32")
    weights[0] = 0
    wide = logits.astype("float64")
    log_probs = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    nats = -np.take_along_axis(log_probs, labels[..., None], -1)[..., 0]
    sums = cross_entropy_sums(logits, labels, weights)
    np.testing.assert_allclose(sums.loss, (nats * weights).sum(), rtol=1e-6)
    assert float(sums.correct) == ((logits.argmax(-1) == labels) * weights).sum()
    assert float(sums.count) == weights.sum()
    logits[0] = 1e4
    np.testing.assert_allclose(cross_entropy_sums(logits, labels, weights).loss, sums.loss)


def test_parts_of_a_batch_add_up_to_the_whole():
    random = np.random.RandomState(1)
    logits, labels = random.randn(6, 5).astype("float32"), random.randint(5, size=6)
    weights = np.ones(6, "float32")
    whole = cross_entropy_sums(logits, labels, weights)
    parts = [
        cross_entropy_sums(logits[i : i + 2], labels[i : i + 2], weights[:2]) for i in (0, 2, 4)
    ]
    np.testing.assert_allclose(sum(float(part.loss) for part in parts), whole.loss, rtol=1e-6)
    assert sum(float(part.correct) for part in parts) == float(whole.correct)


def test_what_has_no_label_is_left_out():
    logits, labels = np.eye(4, 3, dtype="float32"), np.array([0, -1, 2, -1])
    whole = cross_entropy_sums(logits, labels, np.ones(4, "float32"))
    assert whole == cross_entropy_sums(logits[::2], labels[::2], np.ones(2, "float32"))
    assert float(whole.count) == 2
