import socket
import subprocess
import sys

import numpy as np
import pytest

from pipelines import corpus_store
from pipelines.errors import InputError

IDS = {
    "train": np.arange(200) % 7,
    "validation": np.arange(30) % 5,
    "test": np.zeros(0, np.int32),
}


def write(path, dtype="<u1"):
    with corpus_store.CorpusWriter(path, np.dtype(dtype)) as writer:
        for split, ids in IDS.items():
            writer.add(split, ids[:10])
            writer.add(split, ids[10:])
        writer.finish(b"the vocabulary", {"source": "made up"})


@pytest.mark.parametrize("dtype", ["<u1", "<u2", "<u4"])
def test_what_is_written_is_read(tmp_path, dtype):
    write(tmp_path / "made", dtype)
    manifest, splits, model_bytes = corpus_store.read(tmp_path / "made")
    assert (manifest["source"], model_bytes) == ("made up", b"the vocabulary")
    for split, ids in IDS.items():
        assert np.array_equal(splits[split], ids) and splits[split].dtype == dtype
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_pass_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), corpus_store.CorpusWriter(tmp_path / "made", np.dtype("u1")):
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
    with corpus_store.CorpusWriter(tmp_path / "made", np.dtype("u1")) as writer:
        for split, ids in IDS.items():
            writer.add(split, ids)
        (tmp_path / "aside").mkdir()
        other = tmp_path / "aside" / "made"
        write(other)
        other.rename(tmp_path / "made")
        writer.finish(b"the vocabulary", {"source": "too late"})
    assert corpus_store.read(tmp_path / "made")[0]["source"] == "made up"


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
        corpus_store.read(tmp_path / "made")


def test_more_symbols_than_the_dtype_holds_are_refused(tmp_path):
    with corpus_store.CorpusWriter(tmp_path / "made", np.dtype("<u2")) as writer:
        writer.add("train", np.array([65535]))
        with pytest.raises(InputError, match="more than 65,536 different symbols"):
            writer.add("train", np.array([65536]))
