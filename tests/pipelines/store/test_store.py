import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from pipelines.errors import InputError
from pipelines.store import format
from pipelines.store import writer as store_writer
from pipelines.store.store import TokenStore
from pipelines.store.writer import StoreWriter
from pipelines.tokenizers import sentencepiece_training
from tests.pipelines.conftest import made_up_document


def write(path, words, tokens_per_shard=2**20):
    """Ten documents of two sentences of 3 and 4 tokens in train, one in validation."""
    with StoreWriter(path, words, tokens_per_shard) as writer:
        with writer.slice(0) as shards:
            for number in range(10):
                tokens = np.arange(7) + 10 * number
                shards.add("train", tokens, np.array([3, 4]), np.array([7]))
            shards.add("validation", np.arange(7), np.array([3, 4]), np.array([7]))
        writer.finish({"source": "made up", "bad_records": {}, "duplicates_dropped": 0})
    return TokenStore.open(path)


def test_what_is_written_is_read(store, tmp_path):
    made = write(tmp_path / "s", store.vocabulary)
    (shard,) = made.splits["train"]
    assert shard.tokens.dtype == np.uint16
    assert shard.tokens.tolist() == [n + 10 * k for k in range(10) for n in range(7)]
    assert shard.document_ends.tolist() == list(range(7, 71, 7))
    assert shard.sentence_ends[:4].tolist() == [3, 7, 10, 14]
    assert made.manifest["counts"]["train"] == {"documents": 10, "sentences": 20, "tokens": 70}
    assert made.vocabulary.fingerprint == store.vocabulary.fingerprint
    assert made.checksums_verified
    assert [entry.name for entry in tmp_path.iterdir()] == ["s"]


def test_shards_close_behind_the_document_that_fills_them(store, tmp_path):
    made = write(tmp_path / "s", store.vocabulary, tokens_per_shard=20)
    assert [len(shard.tokens) for shard in made.splits["train"]] == [21, 21, 21, 7]
    assert made.splits["train"][1].tokens[0] == 30
    assert made.splits["train"][1].document_ends.tolist() == [7, 14, 21]


def test_ids_above_65535_need_four_bytes():
    assert format.token_dtype(2**16).itemsize == 2
    assert format.token_dtype(2**16 + 1).itemsize == 4


def test_the_data_fingerprint_follows_the_data_alone(store, tmp_path):
    one = write(tmp_path / "one", store.vocabulary)
    same = write(tmp_path / "same", store.vocabulary)
    with StoreWriter(tmp_path / "other", store.vocabulary) as writer:
        with writer.slice(0) as shards:
            for split in ("train", "validation"):
                shards.add(split, np.arange(7), np.array([3, 4]), np.array([7]))
        writer.finish({"source": "made up"})
    assert one.data_fingerprint == same.data_fingerprint
    assert one.data_fingerprint != TokenStore.open(tmp_path / "other").data_fingerprint


def test_another_vocabulary_is_refused_with_both_fingerprints(store, tmp_path):
    other = sentencepiece_training.train(map(made_up_document, range(50)), 120)
    assert TokenStore.open(store.path, store.vocabulary).data_fingerprint
    with pytest.raises(InputError) as error:
        TokenStore.open(store.path, other)
    assert store.vocabulary.fingerprint[:16] in str(error.value)
    assert other.fingerprint[:16] in str(error.value)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_array_is_refused_by_name(store, tmp_path, damage):
    path = tmp_path / "s"
    write(path, store.vocabulary)
    array = path / "train/00000.tokens"
    data = array.read_bytes()
    if damage == "remove":
        array.unlink()
    else:
        array.write_bytes(data[:-2] if damage == "cut" else data[:-1] + b"\x07")
    with pytest.raises(InputError, match="00000.tokens.*damaged"):
        TokenStore.open(path)


def test_a_folder_that_is_no_store_or_of_another_format_is_refused(store, tmp_path):
    with pytest.raises(InputError, match=r"no token store.*pipelines\.prepare"):
        TokenStore.open(tmp_path)
    path = tmp_path / "copy"
    shutil.copytree(store.path, path)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"format_version": 99}))
    with pytest.raises(InputError, match="format 99"):
        TokenStore.open(path)
    (path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        TokenStore.open(path)


def test_a_writer_that_fails_leaves_nothing(store, tmp_path):
    with (
        pytest.raises(RuntimeError),
        StoreWriter(tmp_path / "s", store.vocabulary) as writer,
        writer.slice(0) as shards,
    ):
        shards.add("train", np.arange(7), np.array([7]), np.array([7]))
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_what_a_killed_writer_leaves_is_no_store_and_goes_at_the_next_start(store, tmp_path):
    code = """
import os, signal, sys
from pathlib import Path
import numpy as np
from pipelines.tokenizers import sentencepiece_model
from pipelines.store.writer import StoreWriter
writer = StoreWriter(Path(sys.argv[1]), sentencepiece_model.load(sys.argv[2]))
with writer.slice(0) as shards:
    shards.add("train", np.arange(7), np.array([7]), np.array([7]))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    model = store.path / format.VOCABULARY
    command = [sys.executable, "-c", code, str(tmp_path / "s"), str(model)]
    assert subprocess.run(command).returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".s.partial-")
    with pytest.raises(InputError):
        TokenStore.open(tmp_path / "s")
    write(tmp_path / "s", store.vocabulary)
    assert [entry.name for entry in tmp_path.iterdir()] == ["s"]


def test_the_work_of_a_live_process_is_left_alone(store, tmp_path):
    # Process 1 is alive as long as the machine is.
    other = tmp_path / f"{store_writer._partial_prefix(tmp_path / 's')}1"
    other.mkdir()
    write(tmp_path / "s", store.vocabulary)
    assert other.exists()


def test_two_writers_of_one_store_end_with_one_store(store, tmp_path, monkeypatch):
    path = tmp_path / "s"
    monkeypatch.setattr("os.getpid", lambda: 1)
    late = StoreWriter(path, store.vocabulary)
    monkeypatch.undo()
    first = write(path, store.vocabulary)
    with late:
        with late.slice(0) as shards:
            shards.add("train", np.arange(7), np.array([7]), np.array([7]))
            shards.add("validation", np.arange(7), np.array([7]), np.array([7]))
        late.finish({"source": "made up"})
    assert TokenStore.open(path).data_fingerprint == first.data_fingerprint
    assert [entry.name for entry in tmp_path.iterdir()] == ["s"]
