import keras_hub
import numpy as np
import pytest

from sparse_mixer_tf.serving.parity.reference import make_probe
from sparse_mixer_tf.serving.preset import preset_difference, save_preset
from tests.models.small_vocabulary import TEXTS
from tests.serving.conftest import SPECIAL, make_words


@pytest.fixture
def rows_of():
    def make(task):
        return make_probe(task, task.model, [(text,) for text in TEXTS], ["text"]).rows

    return make


def test_a_preset_takes_strings_and_gives_what_the_run_gives(make_task, rows_of, tmp_path):
    task = make_task(
        "classify", make_words(control_symbols=SPECIAL), data={"dataset": "python_docs"}
    )
    save_preset(task, tmp_path)
    loaded = keras_hub.models.TextClassifier.from_preset(str(tmp_path))
    expected = task.model(rows_of(task), training=False)
    found = loaded.predict(TEXTS, batch_size=len(TEXTS), verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert loaded.backbone.routing == task.model.backbone.routing


@pytest.mark.parametrize("kind", ["pretrain", "causal_lm"])
def test_a_preset_that_is_read_back_differs_in_nothing(
    make_task, make_writer, rows_of, tmp_path, kind
):
    task = make_writer() if kind == "causal_lm" else None
    task = task or make_task(kind, make_words(control_symbols=SPECIAL))
    model = save_preset(task, tmp_path)
    rows = rows_of(task)
    assert preset_difference(model, tmp_path, rows, "float32").largest == 0
    weights = model.get_weights()
    model.set_weights([w + 0.1 for w in weights])
    assert not preset_difference(model, tmp_path, rows, "float32").holds
