import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.datasets import pretraining
from pipelines.errors import InputError
from pipelines.settings import DataSettings
from pipelines.store import format, shards
from pipelines.store.store import TokenStore
from tests.pipelines import fake_gcs

SETTINGS = DataSettings(max_seq_length=64)


def open_files(folder):
    """Descriptors of this process that belong to files in a folder."""
    links = (os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())
    return sum(link.startswith(str(folder)) for link in links)


@pytest.fixture
def many(many_shards):
    return TokenStore.open(many_shards)


def test_numbers_of_tokens_and_documents_are_known_without_opening(many, store):
    split = many.splits["train"]
    assert len(split) > 5 * shards.GROUP
    assert sum(split.num_tokens) == len(store.splits["train"][0].tokens)
    assert sum(split.num_documents) == len(store.splits["train"][0].document_ends)
    assert not open_files(many.path)


def test_all_shards_together_are_the_split_they_were_divided_from(many, store):
    found = np.concatenate([shard.tokens for shard in many.splits["train"]])
    assert np.array_equal(found, store.splits["train"][0].tokens)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_few_shards_are_open_at_once_however_many_are_read(many):
    most = 2 * shards.GROUP * len(format.ARRAYS)
    for _ in many.splits["train"]:
        assert 0 < open_files(many.path) <= most
    assert open_files(many.path) == most


def test_a_shard_is_opened_once_by_those_who_want_it_together(many):
    opened = many.splits["train"].several([3] * 8)
    assert all(shard is opened[0] for shard in opened)


@pytest.mark.parametrize("damage", ["cut", "remove"])
def test_a_damaged_shard_of_many_is_refused_by_name_when_it_is_opened(many, damage):
    array = many.path / f"train/{format.shard_name(0, 70)}.tokens"
    data = array.read_bytes()
    array.unlink() if damage == "remove" else array.write_bytes(data[:-2])
    again = TokenStore.open(many.path)
    assert not again.checksums_verified
    assert len(again.splits["train"][69].tokens)
    with pytest.raises(InputError, match=r"00000-70.tokens has .* the token store is damaged"):
        again.splits["train"][70]


READ = """
import os, sys
from pathlib import Path
from pipelines.datasets import pretraining
from pipelines.errors import InputError
from pipelines.settings import DataSettings
from pipelines.store.store import TokenStore
scratch = Path(sys.argv[2])
store = TokenStore.open(sys.argv[1], scratch=scratch)
try:
    batch = pretraining.batch_at(store, DataSettings(max_seq_length=64), 7, 5, 16)
except InputError as error:
    sys.exit(str(error))
links = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
print(batch["token_ids"].tobytes().hex())
print(sum(link.startswith(str(scratch)) for link in links), len(list(scratch.iterdir())))
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_a_store_on_gs_is_read_a_group_at_a_time_and_checked(many, tmp_path):
    (tmp_path / "buckets" / "text").mkdir(parents=True)
    (tmp_path / "buckets" / "text" / "tokens").symlink_to(many.path)
    command = [sys.executable, "-c", READ, "gs://text/tokens", str(tmp_path / "scratch")]
    with fake_gcs.serve(tmp_path / "buckets", tmp_path) as environment:
        environment = os.environ | environment
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        here = pretraining.batch_at(many, SETTINGS, 7, 5, 16)["token_ids"].tobytes().hex()
        for array in many.path.glob("train/*.tokens"):
            array.write_bytes(bytes(array.stat().st_size))
        damaged = subprocess.run(command, env=environment, capture_output=True, text=True)
    batch, copies = done.stdout.splitlines()
    assert batch == here
    mapped, names = map(int, copies.split())
    # The copies have no names, so that nothing is left of them.
    assert 0 < mapped <= 2 * shards.GROUP * len(format.ARRAYS) and names == 0
    assert damaged.returncode == 1
    assert "does not have the checksum of the manifest" in damaged.stderr
