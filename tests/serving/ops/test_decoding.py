import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.serving import model_with_rows_apart
from sparse_mixer_tf.serving.ops.decoding import CarriedReading
from sparse_mixer_tf.serving.parity.reference import next_shares, pad
from tests.long_cases import long_cases


def _ids(size, *lengths):
    rng = np.random.default_rng(0)
    return [rng.integers(0, size, length) for length in lengths]


def _reader(model):
    """`texts -> (probabilities, memory)`, traced once."""
    specs = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    after = tf.function(CarriedReading(model).after, input_signature=specs, autograph=False)

    def read(texts):
        rows = pad(texts)
        logits, memory = after(rows["token_ids"], rows["padding_mask"].sum(1).astype("int32"))
        return tf.nn.softmax(logits).numpy(), memory.numpy()

    return read


@pytest.mark.parametrize(("span", "shared"), [(5, True), *long_cases((20, False), (300, True))])
def test_texts_of_different_lengths_are_read_as_each_alone(make_writer, span, shared):
    task = make_writer(attn_span=span, share_block_weights=shared)
    texts = _ids(task.vocabulary.size, 1, 2, 16, 17, 33, 290, 600)
    read = _reader(task.model)
    found, memory = read(texts)
    for row, text in enumerate(texts):
        np.testing.assert_allclose(found[row], next_shares(task.model, text)[-1], atol=2e-5)
        np.testing.assert_allclose(memory[row], read([text])[1][0], atol=1e-4)


def test_a_model_without_attention_is_read_too(make_writer):
    task = make_writer(architecture="fg")
    texts = _ids(task.vocabulary.size, 1, 40)
    found, _ = _reader(task.model)(texts)
    for row, text in enumerate(texts):
        np.testing.assert_allclose(found[row], next_shares(task.model, text)[-1], atol=2e-5)


def test_each_new_symbol_is_one_block_of_one_symbol(make_writer):
    task = make_writer()
    reading = CarriedReading(task.model)
    logits, memory = reading.after(tf.constant([[1, 2, 3]]), tf.constant([3]))
    sizes = []

    def spy(last, memory):
        sizes.append((last.shape, memory.shape))
        return CarriedReading.next(reading, last, memory)

    reading.next = spy
    written = reading.write(logits, memory, 7, lambda logits, n: tf.argmax(logits, -1, tf.int32))
    assert written.shape == (1, 7)
    assert sizes == [((1,), (1, 2, 20, 16))] * 7


@pytest.mark.long("traces the reading of texts for two routers")
def test_tokens_that_choose_are_never_refused_where_a_text_is_served(make_writer):
    task = make_writer(
        router="tokens_choose", gate="softmax", num_selected_experts=1, capacity_factor=0.25,
        min_expert_capacity=1, batch_prioritized_routing=False,
    )  # fmt: skip
    model = model_with_rows_apart(task, 1)
    text = _ids(task.vocabulary.size, 60)
    whole = next_shares(model, text[0])[-1]
    np.testing.assert_allclose(_reader(model)(text)[0][0], whole, atol=2e-5)
    # With its capacity the model answers otherwise when the text is cut otherwise.
    assert np.abs(_reader(task.model)(text)[0][0] - whole).max() > 1e-3
