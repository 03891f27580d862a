import numpy as np
import pytest

from sparse_mixer_tf.serving.predictions import fill


def two_masks_a_text(signature, text):
    """Answers as a model does that fills two masks of a text."""
    rows = len(text)
    found = [[t.count(b"[MASK]") > slot for slot in range(2)] for t in text]
    return {
        "is_mask": np.array(found),
        "words": np.full((rows, 2, 1), b"\xe2\x96\x81cat", object),
        "probabilities": np.full((rows, 2, 1), 0.5, "float32"),
    }


def test_masks_beyond_those_that_a_model_fills_are_counted():
    texts = ["A [MASK].", "[MASK] " * 5, "None."]
    (one, _), (five, shown), (none, said) = fill(two_masks_a_text, texts, top=1)
    assert len(one["predictions"]) == 1 and "masks_not_read" not in one
    assert len(five["predictions"]) == 2 and five["masks_not_read"] == 3
    assert "3 more [MASK] not read: the model fills 2 of a text" in shown
    assert none["predictions"] == [] and "no [MASK] to fill" in said


@pytest.mark.parametrize(
    ("piece", "text", "filled"),
    [
        ("▁cat", "A [MASK].", "A cat."),
        ("▁cat", "[MASK] sees.", "cat sees."),
        ("ing", "He is run [MASK] fast.", "He is runing fast."),
        ("▁cat", "A[MASK] and [MASK] and [MASK]", "A cat and cat and [MASK]"),
    ],
)
def test_answers_hold_the_filled_sentence_and_words_without_marks(piece, text, filled):
    def ask(signature, text):
        return two_masks_a_text(signature, text) | {
            "words": np.full((len(text), 2, 1), piece.encode(), object)
        }

    [(record, _)] = fill(ask, [text], top=1)
    assert record["filled"] == filled
    assert "▁" not in record["predictions"][0]["top"][0][0]
