import dataclasses
import gzip
import itertools
import json
import os
from pathlib import Path

import pytest

from pipelines import prepare
from pipelines.errors import InputError
from pipelines.prepare import open_or_prepare
from pipelines.store.store import TokenStore
from pipelines.tokenizers import sentence_splitter
from tests.programs.warm_start import Program


def run(*arguments) -> tuple[int, str]:
    """Exit code of the program, and what it said."""
    program = Program("pipelines.prepare", arguments, Path.cwd(), dict(os.environ))
    said, _ = program.communicate()
    return program.returncode, said


def test_the_store_holds_the_text_it_was_made_from(store, corpus):
    counts = store.manifest["counts"]
    texts = [json.loads(line)["text"] for line in corpus.read_text().splitlines()]
    assert counts["train"]["documents"] + counts["validation"]["documents"] == len(texts)
    shard = store.splits["train"][0]
    ids = [store.vocabulary.encode_batch(sentence_splitter.split(text)) for text in texts]
    documents = {tuple(itertools.chain.from_iterable(document)) for document in ids}
    starts = [0, *shard.document_ends[:-1].tolist()]
    for start, end in zip(starts, shard.document_ends.tolist(), strict=True):
        assert tuple(shard.tokens[start:end].tolist()) in documents


def test_the_cache_holds_one_store_for_all_lengths_and_objectives(settings, tmp_path, capsys):
    cache = str(tmp_path)
    first = open_or_prepare(settings, cache)
    longer = dataclasses.replace(settings, max_seq_length=128, pair_objective="none")
    assert open_or_prepare(longer, cache).path == first.path
    assert "is ready" in capsys.readouterr().err
    fewer = open_or_prepare(dataclasses.replace(settings, max_documents=100), cache)
    assert fewer.path != first.path
    assert first.path.name.startswith("made_up_jsonl-bpe_200-")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_changed_file_is_prepared_again(settings, corpus, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(corpus.read_bytes())
    changing = dataclasses.replace(settings, dataset=str(path))
    before = open_or_prepare(changing, str(tmp_path / "cache"))
    path.write_bytes(corpus.read_bytes() + b'\n{"text": "One more. And two more."}')
    after = open_or_prepare(changing, str(tmp_path / "cache"))
    assert before.path != after.path
    assert before.data_fingerprint != after.data_fingerprint


def test_preparing_twice_gives_the_same_fingerprints(store, settings, tmp_path):
    again = prepare.prepare(settings, tmp_path / "again")
    assert again.data_fingerprint == store.data_fingerprint
    assert again.vocabulary.fingerprint == store.vocabulary.fingerprint


def test_a_given_vocabulary_is_used_and_kept(store, settings, tmp_path):
    given = dataclasses.replace(
        settings, vocab_filepath=str(store.path / "vocabulary/spm.model"), vocab_size=999
    )
    made = prepare.prepare(given, tmp_path / "s")
    assert made.vocabulary.fingerprint == store.vocabulary.fingerprint
    assert made.data_fingerprint == store.data_fingerprint


def test_bad_records_are_in_the_manifest_and_too_many_leave_nothing(settings, corpus, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(corpus.read_bytes() + b'\n{"title": 1}\n{"text": "word"}\n')
    bad = dataclasses.replace(settings, dataset=str(path))
    made = prepare.prepare(bad, tmp_path / "s")
    assert made.manifest["bad_records"] == {"without text": 1, "one word": 1}
    with pytest.raises(InputError, match="--max_bad_records=1"):
        prepare.prepare(dataclasses.replace(bad, max_bad_records=1), tmp_path / "other")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.jsonl", "s"]


def test_the_command_writes_a_store_and_says_so_when_run_again(corpus, tmp_path):
    arguments = (
        f"--dataset={corpus}",
        "--vocab_size=200",
        f"--output={tmp_path / 's'}",
        "--validation_fraction=0.1",
    )
    code, said = run(*arguments)
    assert code == 0, said
    assert "tokenising" in said and "is written" in said
    manifest = (tmp_path / "s/manifest.json").read_bytes()
    code, said = run(*arguments)
    assert code == 0 and "is ready" in said
    code, said = run(*arguments, "--vocab_size=150")
    assert code == 2 and "choose another folder" in said
    assert (tmp_path / "s/manifest.json").read_bytes() == manifest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=./missing.txt"], "there is no file"),
        (["--datasett=python_docs"], "datasett"),
        (["--vocab_size=many"], "--vocab_size=many"),
        (["--vocab_type=words"], "vocab_type"),
        (["dataset"], "'dataset' is not a flag"),
        (["--vocab_filepath=missing.model"], "--vocab_filepath=missing.model"),
        (["--masking_rate=2"], "--masking_rate=2"),
        (["--output="], "--output is required"),
        (["--output=gs://bucket/tokens"], "--runner=beam writes there"),
        (["--beam_pipeline_options=runner=DirectRunner"], "goes with --runner=beam"),
        (["--runner=spark"], "runner"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, arguments, message):
    code, said = run(f"--output={tmp_path / 's'}", *arguments)
    assert code == 2
    assert message in said
    assert len(said.strip().split("\n")) == 1
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(
    settings, tmp_path, capsys
):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written.*--output"):
        prepare.prepare(settings, tmp_path / "file" / "store")
    assert "reading" not in capsys.readouterr().err


def test_a_folder_of_something_else_is_never_overwritten(settings, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is no token store"):
        prepare.prepare(settings, tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_web_text_is_prepared_with_a_published_vocabulary(shared, settings, tmp_path):
    data = dataclasses.replace(
        settings,
        dataset=str(shared / "data/text/c4_sample.jsonl.gz"),
        vocab_filepath=str(shared / "data/vocab/local_bpe_32000.model"),
        max_documents=300,
        sentence_split="lines",
    )
    made = prepare.prepare(data, tmp_path / "s")
    with gzip.open(shared / "data/text/c4_sample.jsonl.gz", "rt", encoding="utf-8") as stream:
        text = json.loads(next(stream))["text"]
    ids = made.vocabulary.encode_batch(sentence_splitter.split(text, "lines"))
    expected = list(itertools.chain.from_iterable(ids))
    found = {
        split: shards[0].tokens[: len(expected)].tolist() == expected
        for split, shards in TokenStore.open(made.path).splits.items()
    }
    assert any(found.values())
