"""Files that a run is given, damaged or made to harm: one clear line each, never a traceback."""

import json

import pytest
from absl.testing import flagsaver

from pipelines.errors import InputError
from pipelines.tokenizers import sentencepiece_model, sentencepiece_training
from pipelines.tokenizers.symbols import Symbols
from sparse_mixer_tf.cli import app
from sparse_mixer_tf.cli.flags import FLAGS
from sparse_mixer_tf.experiments import load
from sparse_mixer_tf.settings import ModelSettings, SettingsError, TrainingSettings
from sparse_mixer_tf.training import workdir as workdirs
from tests.pipelines.conftest import made_up_document


@pytest.fixture(autouse=True)
def _flags_as_they_were():
    with flagsaver.flagsaver():
        yield


def _parse(capsys, *arguments) -> str:
    """Return the message of a program that ends with code 2."""
    with pytest.raises(SystemExit) as ended:
        app._parse(["program", *arguments], None)
    assert ended.value.code == app.BAD_INPUT
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    return said


@pytest.fixture
def flagfile(tmp_path):
    def write(content: bytes):
        path = tmp_path / "run.flags"
        path.write_bytes(content)
        return f"--flagfile={path}"

    return write


def test_flagfiles_that_are_none(capsys, flagfile, tmp_path):
    assert "No such file" in _parse(capsys, f"--flagfile={tmp_path}/none.flags")
    assert "directory" in _parse(capsys, f"--flagfile={tmp_path}")
    assert "is not text" in _parse(capsys, flagfile(b"--seed=1\n\xff\xfe\x00\n"))
    assert "--sead is not a flag" in _parse(capsys, flagfile(b"--sead=1\n"))
    assert "is not a flag" in _parse(capsys, flagfile(b"seed\n"))


def test_a_flagfile_that_includes_itself_is_read_once(capsys, flagfile):
    itself = flagfile(b"")
    flagfile(f"{itself}\n--seed=7\n".encode())
    assert app._parse(["program", itself], None) == ["program"]
    assert "circular" in capsys.readouterr().err and FLAGS.seed == 7


def test_flagfiles_without_end_are_refused(capsys, tmp_path):
    for number in range(1200):
        (tmp_path / f"{number}").write_text(f"--flagfile={tmp_path / str(number + 1)}\n")
    said = _parse(capsys, f"--flagfile={tmp_path / '0'}")
    assert "without end" in said


def test_a_bucket_is_no_workdir(capsys):
    said = _parse(capsys, "--workdir=gs://bucket/run")
    assert "gs://bucket/run" in said and "mount the bucket" in said


@pytest.fixture(scope="module")
def model() -> bytes:
    return sentencepiece_training.train([made_up_document(n) for n in range(60)], 100).model_bytes


def test_a_sentencepiece_model_cut_off_anywhere_is_refused(model):
    for length in range(0, len(model), max(1, len(model) // 60)):
        with pytest.raises(InputError, match="is not a SentencePiece model|lacks"):
            sentencepiece_model.Vocabulary(model[:length], "spm.model")


def test_a_file_far_too_large_is_no_vocabulary(tmp_path, monkeypatch, model):
    monkeypatch.setattr(sentencepiece_model, "_LARGEST_BYTES", len(model))
    path = tmp_path / "spm.model"
    path.write_bytes(model)
    assert sentencepiece_model.load(path).size == 100
    path.write_bytes(model + b"\0")
    with pytest.raises(InputError, match="more than 0 MiB and cannot be a vocabulary"):
        sentencepiece_model.load(path)
    with pytest.raises(InputError, match="nowhere: No such file"):
        sentencepiece_model.read_bytes("nowhere")


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"tokenizer": "rune", "symbols": [1]}',
        b'{"tokenizer": "byte", "symbols": 3}',
        b'{"tokenizer": "byte", "symbols": [256]}',
        b'{"tokenizer": "byte", "symbols": [true]}',
        b'{"tokenizer": "byte", "symbols": [1, 1]}',
        b'{"tokenizer": "character", "symbols": ["ab"]}',
        b'{"tokenizer": "character", "symbols": [1]}',
        b'{"tokenizer": "word", "symbols": []}',
        b'{"tokenizer": "word", "symbols": [["a"]]}',
        b"\xff\xfe",
    ],
)
def test_symbols_that_are_none_are_refused(content):
    with pytest.raises(InputError, match="not one of bytes, characters or words"):
        Symbols.from_bytes(content)


PARTS = {"model": {}, "training": {}, "data": {}, "vocabulary_fingerprint": "ab", "places": {}}


def _write(tmp_path, content) -> None:
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    (tmp_path / workdirs.SETTINGS).write_bytes(content)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[]", b"[" * 100_000, {}, PARTS | {"model": 3}]
    + [{k: v for k, v in PARTS.items() if k != left} for left in list(PARTS)[:4]],
)
def test_settings_that_are_none_are_refused_by_the_name_of_their_file(tmp_path, content):
    _write(tmp_path, content)
    with pytest.raises(SettingsError, match="settings.json cannot be read"):
        workdirs.read_settings(tmp_path)
    with pytest.raises(SettingsError, match="settings.json cannot be read"):
        load.open_run(tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": {"d_model": "wide"}}, "--d_model='wide' is not of type int"),
        ({"model": {"d_model": None}}, "--d_model=None is not of type int"),
        ({"model": {"d_modle": 3}}, "no setting 'd_modle'"),
        ({"training": {"task": "steal"}}, "--task=steal is unknown"),
        ({"training": {"learning_rate": float("nan")}}, "--learning_rate=nan is not a finite"),
        ({"training": {"seed": True}}, "--seed=True is not of type int"),
        ({"data": {"shell": "rm"}}, "has no settings of data"),
        ({"data": {"vocab_size": "x"}}, "has no settings of data"),
    ],
)
def test_settings_of_another_kind_are_told(tmp_path, changes, told):
    _write(tmp_path, PARTS | changes)
    with pytest.raises(SettingsError, match=told):
        load.open_run(tmp_path)


def test_whole_numbers_may_stand_for_others():
    assert TrainingSettings(learning_rate=1).learning_rate == 1
    assert ModelSettings(expert_d_ff=None).expert_d_ff is None
