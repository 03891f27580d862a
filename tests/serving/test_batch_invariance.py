import numpy as np
import pytest

from sparse_mixer_tf.serving import model_with_rows_apart
from sparse_mixer_tf.serving.batch_invariance import row_group_size
from tests.serving.conftest import SPECIAL, make_words


@pytest.mark.parametrize(
    ("row", "most", "size"),
    [(512, 4096, 512), (512, 512, 512), (512, 100, 64), (60, 45, 30), (7, 3, 1)],
)
def test_groups_are_equal_parts_of_a_row(row, most, size):
    assert row_group_size(row, most) == size


def _rows(words, count, real):
    rng = np.random.default_rng(count)
    mask = np.arange(32) < np.full(count, real)[:, None]
    ids = np.where(mask, rng.integers(5, words.size, mask.shape), words.pad_id)
    return {
        "token_ids": ids.astype("int32"),
        "segment_ids": np.zeros_like(ids, "int32"),
        "padding_mask": mask,
    }


@pytest.mark.parametrize(
    "routing",
    [
        {"router": "experts_choose"},
        {"router": "tokens_choose", "capacity_factor": 0.5, "min_expert_capacity": 1},
        {"router": "dropless", "num_selected_experts": 2},
        {"router": "experts_choose", "max_group_size": 20},
        {"router": "experts_choose", "route_padding": True},
    ],
    ids=lambda routing: " ".join(map(str, routing.values())),
)
def test_an_answer_is_the_same_beside_any_neighbours(make_task, routing):
    words = make_words(control_symbols=SPECIAL)
    task = make_task("classify", words, **routing)
    model = model_with_rows_apart(task, 1)
    rows, others = _rows(words, 3, 25), _rows(words, 6, [2, 32, 9, 1, 30, 32])
    together = {name: np.concatenate([others[name], rows[name]]) for name in rows}
    alone = np.asarray(model(rows, training=False))
    np.testing.assert_allclose(model(together, training=False)[6:], alone, atol=1e-5)
    for row in range(3):
        one = {name: value[row : row + 1] for name, value in rows.items()}
        np.testing.assert_allclose(model(one, training=False)[0], alone[row], atol=1e-5)
    trained = np.asarray(task.model(together, training=False))[6:]
    depends = np.abs(trained - np.asarray(task.model(rows, training=False))).max() > 1e-3
    assert depends == (routing["router"] != "dropless")


def test_the_model_of_the_run_keeps_its_routing(make_task):
    task = make_task("classify", make_words(control_symbols=SPECIAL))
    model = model_with_rows_apart(task, 1)
    assert model.backbone.routing.max_group_size == 32
    assert task.model.backbone.routing.max_group_size == 4096
    for ours, theirs in zip(model.get_weights(), task.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
