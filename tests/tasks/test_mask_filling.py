from sparse_mixer_tf.tasks.mask_filling import sample_lines


def test_pieces_that_are_commas_are_told_from_what_stands_between_pieces():
    top = [["\u2581the", 0.314], [",", 0.004], ["\u2581", 0.0]]
    known, unknown = {"truth": "\u2581a", "top": top}, {"top": top}
    lines = sample_lines([{"text": "[MASK] b", "predictions": [known, unknown]}])
    assert lines == [
        "  [MASK] b",
        "    a <- the 31% \u00b7 , 0.4% \u00b7 space 0.0%",
        "    the 31% \u00b7 , 0.4% \u00b7 space 0.0%",
    ]


def test_of_a_sample_few_masks_are_shown_and_of_a_question_all():
    prediction = {"top": [["a", 1.0]]}
    sample = {"text": "a", "predictions": [prediction] * 5}
    assert len(sample_lines([sample])) == 1 + 3
    assert len(sample_lines([sample], masks=None)) == 1 + 5
