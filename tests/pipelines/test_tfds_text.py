import json
import os
import subprocess
import sys

import pytest

from pipelines.errors import InputError
from pipelines.records import BadRecords
from pipelines.settings import DataSettings
from pipelines.sources import Source
from pipelines.tfds_text import TfdsText
from tests.pipelines import fake_gcs


def test_the_c4_excerpt_is_read_with_its_own_splits(shared):
    settings = DataSettings(dataset="c4/en", data_dir=str(shared / "data/tfds"))
    counts = {"train": 0, "validation": 0}
    for split, _ in Source(settings).documents():
        counts[split] += 1
    assert counts == {"train": 1400, "validation": 110}


def test_an_unregistered_data_set_is_read_in_file_order_each_time(shared):
    data = TfdsText("local_web_text", str(shared / "data/tfds"))
    passes = [
        [document.text for document in data.documents("validation", BadRecords(0))] for _ in "12"
    ]
    assert passes[0] == passes[1]
    assert len(passes[0]) == 1000


def test_what_is_not_prepared_is_refused_with_the_command_that_prepares_it(shared, tmp_path):
    with pytest.raises(InputError, match=f"tfds build wiki40b/en --data_dir={tmp_path}"):
        TfdsText("wiki40b/en", str(tmp_path))


def test_an_unknown_name_and_a_data_set_without_text_are_refused(shared):
    folder = str(shared / "data/tfds")
    with pytest.raises(InputError, match="--dataset=no_such_data is neither"):
        TfdsText("no_such_data", folder)
    with pytest.raises(InputError, match="--dataset=glue/cola has no feature `text`"):
        TfdsText("glue/cola", folder)


@pytest.mark.skipif(not fake_gcs.has_openssl(), reason="openssl makes the server's certificate")
def test_a_data_set_on_gs_is_prepared_like_one_on_disk(shared, tmp_path):
    (tmp_path / "buckets").mkdir()
    (tmp_path / "buckets" / "text").symlink_to(shared / "data" / "tfds")
    command = [sys.executable, "-m", "pipelines.prepare", "--dataset=c4/en", "--max_documents=40"]
    command += ["--vocab_size=400"]
    places = {"there": "gs://text", "here": str(shared / "data" / "tfds")}
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
