import threading

import pytest

from sparse_mixer_tf.training.one_ahead import one_ahead


def test_all_items_come_in_their_order():
    assert list(one_ahead(range(100))) == list(range(100))
    assert list(one_ahead([])) == []
    assert list(one_ahead([None, None])) == [None, None]


def test_an_item_is_fetched_while_the_one_before_is_in_use_and_no_earlier():
    asked = [threading.Event() for _ in range(4)]

    def items():
        for number, event in enumerate(asked):
            event.set()
            yield number

    ahead = one_ahead(items())
    assert asked[0].wait(10)
    assert not asked[1].is_set()
    assert next(ahead) == 0
    assert asked[1].wait(10)
    assert not asked[2].is_set()
    assert next(ahead) == 1
    assert asked[2].wait(10)
    assert not asked[3].is_set()


def test_an_error_is_raised_behind_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise OSError("no more disk")

    ahead = one_ahead(items())
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(OSError, match="no more disk"):
        next(ahead)


def test_whoever_stops_early_leaves_no_thread():
    ahead = one_ahead(range(100))
    next(ahead)
    assert any(thread.name.startswith("one_ahead") for thread in threading.enumerate())
    ahead.close()
    assert not any(thread.name.startswith("one_ahead") for thread in threading.enumerate())
