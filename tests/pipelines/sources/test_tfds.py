import json
import os
import shlex
import subprocess
import sys

import pytest
import simple_parsing
from tensorflow_datasets.scripts.cli import build

from pipelines.errors import InputError
from pipelines.settings import DataSettings
from pipelines.sources.records import BadRecords
from pipelines.sources.source import Source
from pipelines.sources.tfds import TfdsText
from tests.pipelines import fake_gcs
from tests.pipelines.conftest import made_up_document
from tests.tfds_folders import c4_records, write_prepared


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a small `c4/en`, 40 and 20 documents in four files each, and `glue/cola`."""
    folder = tmp_path_factory.mktemp("tfds")
    splits = {"train": range(40), "validation": range(40, 60)}
    records = {split: c4_records(map(made_up_document, ids)) for split, ids in splits.items()}
    write_prepared(folder, "c4/en", records, num_shards=4)
    sentence = {"sentence": "The river sings.", "label": 1, "idx": 0}
    write_prepared(folder, "glue/cola", {"train": [sentence]})
    return folder


def test_c4_is_read_with_its_own_splits(prepared):
    settings = DataSettings(dataset="c4/en", data_dir=str(prepared))
    found = {"train": [], "validation": []}
    for split, document in Source(settings).documents():
        found[split].append(document.text)
    documents = [made_up_document(number) for number in range(60)]
    assert found == {"train": documents[:40], "validation": documents[40:]}


def test_an_unregistered_data_set_is_read_in_file_order_each_time(shared):
    data = TfdsText("local_web_text", str(shared / "data/tfds"))
    passes = [
        [document.text for document in data.documents("validation", BadRecords(0))] for _ in "12"
    ]
    assert passes[0] == passes[1]
    assert len(passes[0]) == 1000


def test_what_is_not_prepared_is_refused_with_the_command_that_prepares_it(tmp_path):
    with pytest.raises(InputError, match=f"tfds build wiki40b/en --data_dir={tmp_path}"):
        TfdsText("wiki40b/en", str(tmp_path))


def command_of(error):
    """The command in a message, as the shell takes it apart."""
    return shlex.split(str(error.value).split("`")[1])


def test_the_command_for_a_set_that_needs_beam_is_one_that_tfds_takes(tmp_path):
    folder = tmp_path / "a folder"
    with pytest.raises(InputError, match="requirements-beam.txt") as error:
        TfdsText("c4/en", str(folder))
    program, verb, *arguments = command_of(error)
    parser = simple_parsing.ArgumentParser()
    parser.add_arguments(build.Args, "build")
    parsed = parser.parse_args(arguments).build
    assert (program, verb, parsed.positional_datasets) == ("tfds", "build", ["c4/en"])
    assert str(parsed.paths.data_dir) == str(folder)
    options = dict(o.split("=") for o in parsed.generation.beam_pipeline_options.split(","))
    assert options["runner"] == "DirectRunner" and options["direct_num_workers"] == "0"
    with pytest.raises(InputError) as error:
        TfdsText("c4/en", str(folder), beam_options="runner=DataflowRunner,project=mine")
    assert command_of(error)[-1] == "--beam_pipeline_options=runner=DataflowRunner,project=mine"


def test_the_command_names_the_folder_that_tfds_looks_in_and_beam_only_where_it_is_needed(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError) as error:
        TfdsText("imdb_reviews", str(tmp_path))
    assert command_of(error) == ["tfds", "build", "imdb_reviews", f"--data_dir={tmp_path}"]


def test_slices_of_several_files_are_the_documents_of_the_split(prepared):
    data = TfdsText("c4/en", str(prepared), slice_bytes=2**10)
    bad = BadRecords(0)
    whole = [document.text for document in data.documents("validation", bad)]
    number = data.num_slices("validation")
    parts = [[d.text for d in data.documents("validation", bad, n)] for n in range(number)]
    assert number > 1 and all(parts) and sum(parts, []) == whole


def test_an_unknown_name_and_a_data_set_without_text_are_refused(prepared):
    folder = str(prepared)
    with pytest.raises(InputError, match="--dataset=no_such_data is neither"):
        TfdsText("no_such_data", folder)
    with pytest.raises(InputError, match="--dataset=glue/cola has no feature `text`"):
        TfdsText("glue/cola", folder)


@pytest.mark.long("starts TensorFlow twice to read from a made-up object store")
def test_a_data_set_on_gs_is_prepared_like_one_on_disk(prepared, tmp_path):
    (tmp_path / "buckets").mkdir()
    (tmp_path / "buckets" / "text").symlink_to(prepared)
    command = [sys.executable, "-m", "pipelines.prepare", "--dataset=c4/en", "--max_documents=40"]
    command += ["--vocab_size=200"]
    places = {"there": "gs://text", "here": str(prepared)}
    with fake_gcs.serve(tmp_path / "buckets", tmp_path) as environment:
        for name, place in places.items():
            done = subprocess.run(
                [*command, f"--data_dir={place}", f"--output={tmp_path / name}"],
                env=os.environ | environment,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr
    there, here = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in places)
    assert "gs://text/c4/en/3.1.0" in there["source"]
    assert there["data_fingerprint"] == here["data_fingerprint"]
