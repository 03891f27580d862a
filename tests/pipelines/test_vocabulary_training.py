import subprocess

import pytest

from pipelines import vocabulary_training
from pipelines.errors import InputError
from tests.pipelines.conftest import made_up_document


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_training_twice_gives_the_same_bytes(kind):
    once, again = (
        vocabulary_training.train(map(made_up_document, range(50)), 120, kind) for _ in "12"
    )
    assert once.model_bytes == again.model_bytes
    assert once.fingerprint == again.fingerprint


def test_a_line_longer_than_the_trainer_takes_is_still_learnt_from():
    one_line = " ".join(map(made_up_document, range(100)))
    assert len(one_line) > 10_000
    assert vocabulary_training.train([one_line], 120).size == 120


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_too_large_a_vocabulary_is_refused_with_the_greatest_size_that_works(kind):
    text = [made_up_document(3)] * 3
    with pytest.raises(InputError, match="--vocab_size=9000.*at most") as error:
        vocabulary_training.train(text, 9000, kind)
    most = int(str(error.value).split("at most ")[1].split(",")[0])
    assert vocabulary_training.train(text, most, kind).size == most


def test_too_small_a_vocabulary_and_no_text_are_refused():
    with pytest.raises(InputError, match="--vocab_size=17.*characters"):
        vocabulary_training.train([made_up_document(3)] * 20, 17)
    with pytest.raises(InputError, match="no text"):
        vocabulary_training.train([], 100)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_the_bar_counts_pieces_and_ends_at_its_whole(kind, capsys):
    vocabulary_training.train(map(made_up_document, range(300)), 120, kind)
    shown = capsys.readouterr().err.strip().split("\r")[-1]
    assert shown.startswith(f"training a {kind} vocabulary of 120 100%")
    assert "pieces" in shown


def test_an_interrupted_training_leaves_no_process_behind(monkeypatch):
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(
        vocabulary_training.subprocess,
        "Popen",
        lambda *args, **kwargs: started.append(popen(*args, **kwargs)) or started[0],
    )

    def lines():
        yield made_up_document(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vocabulary_training.train(lines(), 120)
    assert started[0].poll() is not None


def test_a_newline_inside_a_text_does_not_make_two_lines():
    texts = [made_up_document(i) for i in range(50)]
    spaced = vocabulary_training.train([f"{text} {text}" for text in texts], 120)
    broken = vocabulary_training.train([f"{text}\n{text}" for text in texts], 120)
    assert spaced.model_bytes == broken.model_bytes
