from pipelines.tokenizers.sentence_splitter import split


def test_sentences_end_at_punctuation_before_a_capital_or_digit():
    text = 'It rains. "Does it?" she asked. He said (loudly.) Then 3 came! 4 left'
    assert split(text) == [
        "It rains.",
        '"Does it?" she asked.',
        "He said (loudly.)",
        "Then 3 came!",
        "4 left",
    ]


def test_abbreviations_and_initials_do_not_end_a_sentence():
    assert len(split("Mr. Smith met Dr. J. Brown, e.g. Tuesday vs. Monday.")) == 1


def test_newlines_always_end_a_sentence_and_blanks_are_none():
    assert split("a line\n\n  \nanother. line\r\n") == ["a line", "another. line"]


def test_lines_ends_sentences_at_newlines_only():
    assert split("One. Two.\nThree.", "lines") == ["One. Two.", "Three."]
