import numpy as np
import tensorflow as tf

from sparse_mixer_tf.serving.ops.sampling import Choice, choose, draws

SHARES = np.array([0.1, 0.4, 0.05, 0.25, 0.2], "float32")


def _chosen(draw, temperature=1.0, top_k=0, top_p=1.0, shares=SHARES):
    rows = len(draw)
    choice = Choice(tf.fill([rows], temperature), tf.fill([rows], top_k), tf.fill([rows], top_p))
    logits = tf.repeat(tf.math.log(shares)[None], rows, axis=0)
    return choose(logits, tf.constant(draw, tf.float32), choice).numpy()


def _frequencies(**options):
    draw = (np.arange(2000) + 0.5) / 2000
    return np.bincount(_chosen(draw, **options), minlength=5) / 2000


def test_symbols_come_as_often_as_they_are_likely():
    np.testing.assert_allclose(_frequencies(), SHARES, atol=1e-3)


def test_temperature_top_k_and_top_p_are_what_they_say():
    colder = SHARES**2 / np.sum(SHARES**2)
    np.testing.assert_allclose(_frequencies(temperature=0.5), colder, atol=1e-3)
    np.testing.assert_allclose(_frequencies(top_k=2), [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0], atol=1e-3)
    # Half of the probability lies in the first two symbols, which therefore are both there.
    np.testing.assert_allclose(_frequencies(top_p=0.5), _frequencies(top_k=2), atol=1e-3)
    assert set(_chosen([0.0, 0.5, 0.999], temperature=0.0)) == {1}
    assert set(_chosen([0.0, 0.5, 0.999], top_k=1)) == {1}
    assert set(_chosen([0.0, 0.5, 0.999], top_p=1e-6)) == {1}


def test_a_number_just_below_one_chooses_a_symbol_that_is_kept():
    almost = np.nextafter(np.float32(1), np.float32(0))
    assert _chosen([almost], top_k=3)[0] in (1, 3, 4)


def test_a_row_of_random_numbers_is_a_function_of_its_seed():
    several = draws(tf.constant([3, 5, 3]), 6).numpy()
    np.testing.assert_array_equal(several[0], several[2])
    assert np.abs(several[0] - several[1]).max() > 0.01
    np.testing.assert_array_equal(draws(tf.constant([5]), 6).numpy()[0], several[1])
