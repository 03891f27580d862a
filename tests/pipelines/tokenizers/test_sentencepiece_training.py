import subprocess

import pytest

from pipelines.errors import InputError
from pipelines.sources.source import Source
from pipelines.tokenizers import sentencepiece_training
from tests.pipelines.conftest import made_up_document


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_training_twice_gives_the_same_bytes(kind):
    once, again = (
        sentencepiece_training.train(map(made_up_document, range(50)), 120, kind) for _ in "12"
    )
    assert once.model_bytes == again.model_bytes
    assert once.fingerprint == again.fingerprint


def test_a_line_longer_than_the_trainer_takes_is_still_learnt_from():
    one_line = " ".join(map(made_up_document, range(100)))
    assert len(one_line) > 10_000
    assert sentencepiece_training.train([one_line], 120).size == 120


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_too_large_a_vocabulary_shrinks_to_the_greatest_size_that_works(kind, capsys):
    text = [made_up_document(3)] * 3
    made = sentencepiece_training.train(iter(text), 9000, kind)
    note = f"note: --vocab_size=9000 is more than the text supports; {made.size} pieces are trained"
    assert note in capsys.readouterr().err
    same = sentencepiece_training.train(text, made.size, kind)
    assert same.fingerprint == made.fingerprint and 30 < made.size < 9000


def test_too_small_a_vocabulary_and_no_text_are_refused():
    with pytest.raises(InputError, match="--vocab_size=17.*characters"):
        sentencepiece_training.train([made_up_document(3)] * 20, 17)
    with pytest.raises(InputError, match="no text"):
        sentencepiece_training.train([], 100)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_the_bar_counts_pieces_and_ends_at_its_whole(kind, capsys):
    sentencepiece_training.train(map(made_up_document, range(300)), 120, kind)
    shown = capsys.readouterr().err.strip().split("\r")[-1]
    assert shown.startswith(f"training a {kind} vocabulary of 120 100%")
    assert "pieces" in shown


def test_an_interrupted_training_leaves_no_process_behind(monkeypatch):
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(
        sentencepiece_training.subprocess,
        "Popen",
        lambda *args, **kwargs: started.append(popen(*args, **kwargs)) or started[0],
    )

    class Interrupting(str):
        def replace(self, *_):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sentencepiece_training.train([made_up_document(0), Interrupting("a line")], 120)
    assert started[0].poll() is not None


def test_a_newline_inside_a_text_does_not_make_two_lines():
    texts = [made_up_document(i) for i in range(50)]
    spaced = sentencepiece_training.train([f"{text} {text}" for text in texts], 120)
    broken = sentencepiece_training.train([f"{text}\n{text}" for text in texts], 120)
    assert spaced.model_bytes == broken.model_bytes


def test_a_large_corpus_is_sampled_evenly_for_the_vocabulary(settings, monkeypatch):
    source = Source(settings)
    everything = sentencepiece_training.sample(source)
    monkeypatch.setattr(sentencepiece_training, "_SAMPLE_CHARACTERS", 10_000)
    sample = sentencepiece_training.sample(source)
    assert 2_000 < sum(map(len, sample)) <= 10_000 < sum(map(len, everything))
    places = [everything.index(text) / len(everything) for text in sample]
    assert places == sorted(places)
    assert min(places) < 0.3 and max(places) > 0.7
