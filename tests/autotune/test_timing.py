import pytest

from sparse_mixer_tf.autotune.timing import fastest


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [({"a": 0.2, "b": 0.1}, "b"), ({"a": 0.1, "b": 0.2}, "a"), ({"b": 0.1, "a": 0.1}, "b")],
)
def test_the_way_of_the_least_time_is_taken_and_the_first_of_equals(seconds, expected):
    way, milliseconds = fastest(list(seconds), seconds.get)
    assert way == expected
    assert milliseconds == pytest.approx([1e3 * value for value in seconds.values()])


def test_what_all_workers_take_together_counts():
    of_the_other = iter([0.1, 0.5])
    way, milliseconds = fastest(
        [True, False], {True: 0.3, False: 0.1}.get, lambda own: own + next(of_the_other)
    )
    assert way is True
    assert milliseconds == pytest.approx([400, 600])
