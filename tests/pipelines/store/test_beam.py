import json
import os
import signal
import subprocess
import sys
import time
from types import MappingProxyType

import pytest

from pipelines import prepare
from pipelines.errors import InputError
from pipelines.store import beam as beam_runner
from pipelines.store import format
from tests.optional import need_packages
from tests.pipelines import fake_gcs
from tests.pipelines.conftest import made_up_document

HERE = "runner=DirectRunner"
BEAM = pytest.mark.long("starts pipelines of Apache Beam, where it is installed, many seconds each")


def run(*arguments, environment=MappingProxyType({})):
    command = [sys.executable, "-m", "pipelines.prepare", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_without_apache_beam_the_command_that_installs_it_is_named(settings, tmp_path, monkeypatch):
    # What an absent package looks like to an import.
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(InputError, match="pip install -r requirements-beam.txt"):
        prepare.prepare_on_beam(settings, tmp_path / "made")
    assert not list(tmp_path.iterdir())


@BEAM
def test_text_is_prepared_as_the_local_runner_does(settings, corpus, tmp_path):
    need_packages("apache_beam")
    arguments = [f"--dataset={corpus}", "--vocab_size=200", "--validation_fraction=0.1"]
    beam = ["--runner=beam", f"--beam_pipeline_options={HERE}"]
    assert run(*arguments, f"--output={tmp_path / 'local'}").returncode == 0
    done = run(*arguments, *beam, f"--output={tmp_path / 'made'}")
    assert done.returncode == 0, done.stderr
    assert "is written" in done.stderr
    assert tree(tmp_path / "made") == tree(tmp_path / "local")
    again = run(*arguments, *beam, f"--output={tmp_path / 'made'}")
    assert again.returncode == 0 and "is ready" in again.stderr
    other = run(*arguments, *beam, f"--output={tmp_path / 'made'}", "--max_documents=20")
    assert other.returncode == 2 and "of another making" in other.stderr


@BEAM
@pytest.mark.parametrize(
    "options", [HERE, f"{HERE},direct_running_mode=multi_processing,direct_num_workers=2"]
)
def test_a_tfds_set_with_both_splits_is_prepared_as_the_local_runner_does(
    shared, tmp_path, options
):
    need_packages("apache_beam")
    arguments = ["--dataset=c4/en", f"--data_dir={shared / 'data' / 'tfds'}"]
    arguments += ["--vocab_size=400", "--max_documents=300"]
    assert run(*arguments, f"--output={tmp_path / 'local'}").returncode == 0
    beam = ["--runner=beam", f"--beam_pipeline_options={options}"]
    done = run(*arguments, *beam, f"--output={tmp_path / 'made'}")
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "made") == tree(tmp_path / "local")


@BEAM
def test_text_on_gs_becomes_a_store_on_gs(corpus, tmp_path):
    need_packages("apache_beam")
    bucket = tmp_path / "buckets" / "text"
    bucket.mkdir(parents=True)
    (bucket / "made_up.jsonl").write_bytes(corpus.read_bytes())
    arguments = ["--vocab_size=200", "--validation_fraction=0.1"]
    there = ["--dataset=gs://text/*.jsonl", "--output=gs://text/made", "--runner=beam"]
    with fake_gcs.serve(tmp_path / "buckets", tmp_path) as environment:
        done = run(*arguments, *there, environment=environment)
        assert done.returncode == 0, done.stderr
        again = run(*arguments, *there, environment=environment)
    assert again.returncode == 0 and "gs://text/made is ready" in again.stderr
    here = [f"--dataset={corpus}", f"--output={tmp_path / 'local'}"]
    assert run(*arguments, *here).returncode == 0
    made, local = tree(bucket / "made"), tree(tmp_path / "local")
    manifests = [json.loads(one.pop("manifest.json")) for one in (made, local)]
    assert made == local
    assert manifests[0]["files"] == manifests[1]["files"]


MANY_SLICES = """
import sys
from pipelines import prepare
from pipelines.settings import DataSettings
from pipelines.sources import work_units
work_units.SLICE_BYTES = 1
settings = DataSettings(dataset=sys.argv[1], vocab_filepath=sys.argv[2], validation_fraction=0.3)
if __name__ == "__main__":
    make = prepare.prepare_on_beam if sys.argv[3] == "beam" else prepare.prepare
    make(settings, sys.argv[4])
"""


@BEAM
def test_a_run_that_was_killed_goes_on_with_the_slices_that_are_missing(store, tmp_path):
    need_packages("apache_beam")
    for number in range(200):
        (tmp_path / f"{number:03d}.jsonl").write_text(
            "\n".join(json.dumps({"text": made_up_document(5 * number + k)}) for k in range(5))
        )
    model, made = store.path / format.VOCABULARY, tmp_path / "made"
    command = [sys.executable, "-c", MANY_SLICES, str(tmp_path / "*.jsonl"), str(model)]
    killed = subprocess.Popen([*command, "beam", str(made)], stderr=subprocess.DEVNULL)
    while killed.poll() is None and len(list(made.glob("unfinished/train-*.json"))) < 20:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    whole = {path.stem.removeprefix("train-") for path in made.glob("unfinished/train-*.json")}
    assert 20 <= len(whole) < 200 and not format.is_store(made)
    before = {name: os.stat(made / f"train/{name}.tokens").st_ino for name in whole}
    assert subprocess.run([*command, "beam", str(made)], capture_output=True).returncode == 0
    after = {name: os.stat(made / f"train/{name}.tokens").st_ino for name in whole}
    assert before == after
    local = [*command, "local", str(tmp_path / "local")]
    assert subprocess.run(local, capture_output=True).returncode == 0
    assert tree(made) == tree(tmp_path / "local")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("runner=Nowhere", "Nowhere"),
        ("direct_num_workers=many", "'many'"),
    ],
)
def test_options_that_beam_does_not_take_are_refused(options, message):
    need_packages("apache_beam")
    with pytest.raises(InputError, match=f"--beam_pipeline_options={options} .*{message}"):
        beam_runner.options(options)


@BEAM
def test_what_is_wrong_with_the_data_is_one_line_and_exit_code_2(corpus, tmp_path):
    need_packages("apache_beam")
    path = tmp_path / "a.jsonl"
    path.write_bytes(corpus.read_bytes() + b'\n{"title": 1}\n')
    done = run(
        f"--dataset={path}",
        "--vocab_size=200",
        "--max_bad_records=0",
        "--runner=beam",
        f"--output={tmp_path / 'made'}",
    )
    assert done.returncode == 2 and "error: more than --max_bad_records=0" in done.stderr
