import dataclasses
import socket
import subprocess
import sys

import numpy as np
import pytest

from pipelines.errors import InputError
from pipelines.settings import DataSettings
from pipelines.store import lm_corpus
from pipelines.store import lm_corpus as corpora
from pipelines.store.lm_corpus import open_corpus
from tests.pipelines.conftest import made_up_document

# Frequent letters only: SentencePiece gives up rare ones.
TEXT = "\n".join(made_up_document(number) for number in range(100)).lower() + "\n"
TEXT = TEXT.replace("ar", "är")
TOKENIZERS = ["byte", "character", "word", "sentencepiece"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "made_up.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def settings_of(path, tokenizer, **others):
    return DataSettings(
        dataset=str(path), tokenizer=tokenizer, block_size=32, vocab_size=200, **others
    )


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_splits_are_the_text(path, tokenizer, tmp_path):
    corpus = open_corpus(settings_of(path, tokenizer), tmp_path)
    decoded = [corpus.vocabulary.decode(ids) for ids in corpus.splits.values()]
    assert list(corpus.splits) == ["train", "validation", "test"]
    # Words and pieces do not keep the spaces around a cut.
    assert "".join("".join(decoded).split()) == "".join(TEXT.split())
    if tokenizer in ("byte", "character"):
        assert "".join(decoded) == TEXT
    for ids in corpus.splits.values():
        assert ids.ndim == 1 and np.issubdtype(ids.dtype, np.integer)
        assert ids.max() < corpus.vocabulary.size


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_a_text_is_tokenised_once(path, tokenizer, tmp_path, monkeypatch, capsys):
    settings = settings_of(path, tokenizer)
    first = open_corpus(settings, tmp_path)
    assert "is written" in capsys.readouterr().err
    monkeypatch.setattr(corpora, "_prepare", None)
    again = open_corpus(settings, tmp_path)
    assert "is ready" in capsys.readouterr().err
    assert again.data_fingerprint == first.data_fingerprint
    assert again.vocabulary.fingerprint == first.vocabulary.fingerprint
    assert all(np.array_equal(again.splits[split], ids) for split, ids in first.splits.items())


def test_another_block_stride_or_batch_needs_no_other_corpus(path, tmp_path):
    settings = settings_of(path, "byte")
    one = open_corpus(settings, tmp_path)
    other = open_corpus(dataclasses.replace(settings, block_size=64, eval_stride=8), tmp_path)
    assert one.path == other.path


def test_another_text_or_tokenizer_is_another_corpus(path, tmp_path):
    one = open_corpus(settings_of(path, "byte"), tmp_path)
    assert open_corpus(settings_of(path, "character"), tmp_path).path != one.path
    changed = tmp_path / "made_up.txt"
    changed.write_text(TEXT.replace("river", "liver"), encoding="utf-8")
    other = open_corpus(settings_of(changed, "byte"), tmp_path)
    assert other.data_fingerprint != one.data_fingerprint


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_small_chunks_make_the_same_symbols(path, tokenizer, tmp_path, monkeypatch):
    settings = settings_of(path, tokenizer)
    whole = open_corpus(settings, tmp_path / "whole")
    monkeypatch.setattr(corpora, "_CHUNK_BYTES", 50)
    chunked = open_corpus(settings, tmp_path / "chunked")
    assert chunked.data_fingerprint == whole.data_fingerprint
    assert chunked.vocabulary.fingerprint == whole.vocabulary.fingerprint


def test_a_given_vocabulary_is_used(path, tmp_path, store):
    model = tmp_path / "given.model"
    model.write_bytes(store.vocabulary.model_bytes)
    settings = settings_of(path, "sentencepiece", vocab_filepath=str(model))
    corpus = open_corpus(settings, tmp_path)
    assert corpus.vocabulary.fingerprint == store.vocabulary.fingerprint


@pytest.mark.parametrize("tokenizer", ["character", "word", "sentencepiece"])
def test_a_text_that_is_not_utf8_is_refused_and_leaves_nothing(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_bytes(b"a b c d\n" * 50 + b"\xff\xfe\n" + b"a b c d\n" * 100)
    settings = settings_of(tmp_path / "a.txt", tokenizer)
    with pytest.raises(InputError, match="a.txt is not UTF-8 in its train split"):
        open_corpus(settings, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_text_shorter_than_a_block_is_refused_by_flag(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"0123456789" * 4)
    settings = dataclasses.replace(settings_of(tmp_path / "a.txt", "byte"), block_size=36)
    with pytest.raises(InputError, match="--block_size=36 .* 36 symbols.* use --block_size=35"):
        open_corpus(settings, tmp_path / "cache")
    assert open_corpus(dataclasses.replace(settings, block_size=35), tmp_path / "cache")


def test_an_empty_split_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"0123 56789 " + b"x" * 40)
    with pytest.raises(InputError, match="validation split is empty"):
        open_corpus(settings_of(tmp_path / "a.txt", "word"), tmp_path / "cache")


def test_a_pass_that_is_interrupted_leaves_nothing(path, tmp_path, monkeypatch):
    monkeypatch.setattr(corpora.SymbolCollector, "encode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        open_corpus(settings_of(path, "byte"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_named(path, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/.* cannot be written .*--cache_dir"):
        open_corpus(settings_of(path, "byte"), tmp_path / "file")


IDS = {
    "train": np.arange(200) % 7,
    "validation": np.arange(30) % 5,
    "test": np.zeros(0, np.int32),
}


def write(path, dtype="<u1"):
    with lm_corpus.CorpusWriter(path, np.dtype(dtype)) as writer:
        for split, ids in IDS.items():
            writer.add(split, ids[:10])
            writer.add(split, ids[10:])
        writer.finish(b"the vocabulary", {"source": "made up"})


@pytest.mark.parametrize("dtype", ["<u1", "<u2", "<u4"])
def test_what_is_written_is_read(tmp_path, dtype):
    write(tmp_path / "made", dtype)
    manifest, splits, model_bytes = lm_corpus.read(tmp_path / "made")
    assert (manifest["source"], model_bytes) == ("made up", b"the vocabulary")
    for split, ids in IDS.items():
        assert np.array_equal(splits[split], ids) and splits[split].dtype == dtype
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_pass_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), lm_corpus.CorpusWriter(tmp_path / "made", np.dtype("u1")):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_what_a_dead_process_left_is_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leftover = tmp_path / f".made.partial-{socket.gethostname()}-{dead.pid}"
    leftover.mkdir()
    (leftover / "train").write_bytes(b"half")
    write(tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_another_process_that_was_first_is_no_error(tmp_path):
    with lm_corpus.CorpusWriter(tmp_path / "made", np.dtype("u1")) as writer:
        for split, ids in IDS.items():
            writer.add(split, ids)
        (tmp_path / "aside").mkdir()
        other = tmp_path / "aside" / "made"
        write(other)
        other.rename(tmp_path / "made")
        writer.finish(b"the vocabulary", {"source": "too late"})
    assert lm_corpus.read(tmp_path / "made")[0]["source"] == "made up"


@pytest.mark.parametrize("name", ["train", "validation", "vocabulary"])
@pytest.mark.parametrize("damage", ["cut", "changed", "removed"])
def test_damage_is_found_and_named(tmp_path, name, damage):
    write(tmp_path / "made")
    path = tmp_path / "made" / name
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if damage == "cut" else content[:-1] + b"\x09")
    with pytest.raises(InputError, match=f"made/{name} .* damaged; remove"):
        lm_corpus.read(tmp_path / "made")


def test_more_symbols_than_the_dtype_holds_are_refused(tmp_path):
    with lm_corpus.CorpusWriter(tmp_path / "made", np.dtype("<u2")) as writer:
        writer.add("train", np.array([65535]))
        with pytest.raises(InputError, match="more than 65,536 different symbols"):
            writer.add("train", np.array([65536]))
