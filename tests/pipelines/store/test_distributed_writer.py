import dataclasses
import json
import random

import numpy as np
import pytest

from pipelines import filesystem, prepare
from pipelines.errors import InputError
from pipelines.settings import DataSettings
from pipelines.sources import source as sources
from pipelines.sources import text_files, work_units
from pipelines.sources.records import BadRecords
from pipelines.store import beam, distributed_writer, format
from pipelines.store.store import TokenStore
from tests.pipelines.conftest import made_up_document


@pytest.fixture
def data(tmp_path, monkeypatch, store) -> DataSettings:
    """Six files of 30 documents, each a slice of several shards; a record of each file is bad."""
    monkeypatch.setattr(work_units, "SLICE_BYTES", 1000)
    monkeypatch.setattr(format, "TOKENS_PER_SHARD", 1000)
    monkeypatch.setattr("pipelines.store.tokenize._CHUNK_CHARACTERS", 3000)
    for file in range(6):
        lines = [
            json.dumps({"text": made_up_document(number)})
            for number in range(30 * file, 30 * file + 30)
        ]
        lines[10 + file] = "{" if file % 2 else '{"title": 1}'
        (tmp_path / f"part-{file}.jsonl").write_text("\n".join(lines))
    return DataSettings(
        dataset=str(tmp_path / "part-*.jsonl"),
        vocab_filepath=str(store.path / format.VOCABULARY),
        validation_fraction=0.2,
    )


def begun(settings, folder):
    """A store in the making, its source, its slices and what it is made from."""
    work = distributed_writer.Unfinished(
        str(folder), settings, work_units.SLICE_BYTES, format.TOKENS_PER_SHARD
    )
    source, words = work.source(), prepare._given_vocabulary(settings)
    identity = prepare.store_identity.made_from(settings, source, words)
    work.start(identity, words)
    return work, source, source.slices(), identity


def written(settings, folder, order=lambda items: items):
    """A whole store, its slices written in some order, each as a worker would."""
    work, source, items, identity = begun(settings, folder)
    counts = {}
    if settings.max_documents:
        counts = {item: work.source().count(item) for item in items}
    for split in ("validation", "train"):
        for item in order([item for item in items if item.split == split]):
            beam._write(item, work, counts)
    work.finish(source, items, prepare._description(settings, source, identity))
    return folder


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def shuffled_with_repeats(items):
    draw = random.Random(1)
    return draw.sample(items, len(items)) + items[:3]


def test_slices_written_in_any_order_and_again_make_what_the_local_runner_writes(data, tmp_path):
    local = prepare.prepare(data, tmp_path / "local")
    made = written(data, tmp_path / "made", shuffled_with_repeats)
    assert tree(made) == tree(local.path)
    assert local.manifest["bad_records"] == {"without text": 3, "invalid JSON": 3}
    assert len(local.splits["train"]) > 12
    assert {name[:5] for name in tree(made / "train")} == {f"0000{n}" for n in range(6)}


@pytest.mark.parametrize("most", [8, 29, 58, 59, 100, 174, 500])
def test_max_documents_ends_at_the_same_document(data, tmp_path, most):
    bounded = dataclasses.replace(data, max_documents=most, validation_fraction=0.4)
    local = prepare.prepare(bounded, tmp_path / "local")
    made = written(bounded, tmp_path / "made", shuffled_with_repeats)
    assert tree(made) == tree(local.path)
    counts = local.manifest["counts"]
    assert counts["train"]["documents"] + counts["validation"]["documents"] == min(most, 174)


class Reader:
    """A source with a validation split of its own, three slices each, that repeats itself."""

    description, splits, fraction_read = "made up", ("train", "validation"), 0.0

    def __init__(self, *_):
        pass

    def num_slices(self, split):
        return 3

    def documents(self, split, bad, number):
        first = 20 * number + (50 if split == "train" else 0)
        for at in range(first, first + 20):
            yield from bad.screen(made_up_document(at), "made up", f"{split} {at}")


@pytest.mark.parametrize("most", [None, 40])
def test_copies_of_validation_documents_of_any_slice_are_dropped(data, tmp_path, monkeypatch, most):
    monkeypatch.setattr(sources, "TfdsText", Reader)
    own = dataclasses.replace(data, dataset="made/up", max_documents=most)
    local = prepare.prepare(own, tmp_path / "local")
    made = written(own, tmp_path / "made", shuffled_with_repeats)
    assert tree(made) == tree(local.path)
    assert local.manifest["duplicates_dropped"] == (0 if most else 10)


def identities(folder):
    """Return the file under each name: a file that is written again is another one."""
    return {path.name: path.stat().st_ino for path in (folder / "train").iterdir()}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "unfinished/train-00002.json").unlink(),
        lambda folder: (folder / "train/00002.tokens").unlink(),
        lambda folder: flip(folder / "train/00002-1.sentence_ends"),
        lambda folder: (folder / "train/00002.document_ends").write_bytes(b""),
    ],
    ids=["no facts", "no shard", "a bit", "cut"],
)
def test_a_second_run_makes_again_what_is_not_whole_and_nothing_else(data, tmp_path, harm):
    work, source, items, identity = begun(data, tmp_path / "made")
    for item in items[:4]:
        work.write(item, None)
    harm(tmp_path / "made")
    before = identities(tmp_path / "made")
    work, source, items, identity = begun(data, tmp_path / "made")
    for item in items:
        work.write(item, None)
    after = identities(tmp_path / "made")
    changed = {name[:5] for name, inode in before.items() if after[name] != inode}
    assert changed == {"00002"}
    work.finish(source, items, prepare._description(data, source, identity))
    assert tree(tmp_path / "made") == tree(prepare.prepare(data, tmp_path / "local").path)


def test_what_is_unfinished_is_no_store_and_cannot_be_finished(data, tmp_path):
    work, source, items, _ = begun(data, tmp_path / "made")
    for item in items[:-1]:
        work.write(item, None)
    with pytest.raises(RuntimeError, match="1 of 6 slices .* train-00005"):
        work.finish(source, items, {})
    with pytest.raises(InputError, match="no token store"):
        TokenStore.open(tmp_path / "made")
    with pytest.raises(InputError, match="beginning of a token store; --runner=beam goes on"):
        prepare.prepare(data, tmp_path / "made")


def test_a_slice_whose_worker_dies_is_not_there(data, tmp_path, monkeypatch):
    work, source, items, identity = begun(data, tmp_path / "made")

    def dying(*arguments):
        yield from list(tokenise(*arguments))[:3]
        raise MemoryError

    tokenise = distributed_writer.tokenize.tokenise
    monkeypatch.setattr(distributed_writer.tokenize, "tokenise", dying)
    with pytest.raises(MemoryError):
        work.write(items[0], None)
    assert not work.is_whole(items[0], None)
    monkeypatch.setattr(distributed_writer.tokenize, "tokenise", tokenise)
    for item in items:
        work.write(item, None)
    work.finish(source, items, prepare._description(data, source, identity))
    assert tree(tmp_path / "made") == tree(prepare.prepare(data, tmp_path / "local").path)


def test_bad_records_of_all_slices_together_may_be_too_many(data, tmp_path):
    strict = dataclasses.replace(data, max_bad_records=5)
    with pytest.raises(InputError, match=r"--max_bad_records=5 .*part-0.jsonl:11: without text"):
        written(strict, tmp_path / "made")
    with pytest.raises(InputError, match="--max_bad_records=0 "):
        written(dataclasses.replace(data, max_bad_records=0), tmp_path / "strictest")
    assert not format.is_store(tmp_path / "made")
    # Nothing has to be made again once more of them are allowed.
    before = identities(tmp_path / "made")
    assert identities(written(data, tmp_path / "made")) == before


def test_the_beginning_of_another_store_is_refused(data, tmp_path):
    work, _, _, _ = begun(data, tmp_path / "made")
    other = dataclasses.replace(data, max_documents=50)
    source, words = sources.Source(other), prepare._given_vocabulary(other)
    with pytest.raises(InputError, match="max_documents None instead of 50"):
        work.refuse_other(prepare.store_identity.made_from(other, source, words))


def test_a_shard_that_does_not_read_back_is_no_shard(data, tmp_path, monkeypatch):
    work, _, items, _ = begun(data, tmp_path / "made")
    put = filesystem.put

    def failing(source, path):
        put(source, path)
        flip(path)

    monkeypatch.setattr(filesystem, "put", failing)
    with pytest.raises(Exception, match="does not read back"):
        work.write(items[0], None)
    assert not work.is_whole(items[0], None)


def test_neighbouring_files_share_a_slice_until_it_is_large_enough():
    groups = work_units.group([3, 3, 10, 1, 1, 1, 1, 9, 2], 5)
    assert groups == [range(2), range(2, 3), range(3, 8), range(8, 9)]
    assert work_units.group([1, 2], 5) == [range(2)]


def test_slices_are_the_documents_of_the_whole_pass(data):
    source = sources.Source(data)
    whole = [(split, document.text) for split, document in source.documents()]
    account, parts = source.new_account(), []
    for item in source.slices():
        parts += [(split, d.text) for split, d in source.read(item, account, set())]
    assert parts == whole and len(source.slices()) == 6
    assert account == source.account or account.facts() == source.account.facts()
    bad = BadRecords(100)
    for item in source.slices():
        one = source.new_account()
        list(source.read(item, one, set()))
        bad.add_counts(one.bad_records.counts, one.bad_records.first)
    assert bad.counts == account.bad_records.counts and bad.first == account.bad_records.first


def test_a_split_that_stays_empty_in_all_slices_is_refused(data, tmp_path):
    with pytest.raises(InputError, match="leaves no validation document"):
        written(dataclasses.replace(data, validation_fraction=1e-6), tmp_path / "made")


def test_hashes_of_validation_documents_are_kept_in_whole_bytes(data, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "TfdsText", Reader)
    work, source, items, _ = begun(dataclasses.replace(data, dataset="a/b"), tmp_path / "made")
    for item in items[:3]:
        work.write(item, None)
    expected = {sources.content_hash(made_up_document(number)) for number in range(60)}
    assert work._held_out(source) == expected
    assert np.all([len(digest) == sources.DIGEST_BYTES for digest in expected])


def test_a_worker_looks_for_the_files_once_however_many_slices_it_writes(
    data, tmp_path, monkeypatch
):
    found = []
    find = text_files.find
    monkeypatch.setattr(text_files, "find", lambda name: found.append(name) or find(name))
    written(data, tmp_path / "made")
    assert found == [data.dataset]
