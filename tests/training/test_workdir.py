import os
from functools import partial

import pytest

from sparse_mixer_tf.settings import ModelSettings, SettingsError, TrainingSettings
from sparse_mixer_tf.training import retry
from sparse_mixer_tf.training import workdir as workdirs
from sparse_mixer_tf.training.workdir import as_it_began


def test_a_new_and_an_empty_folder_hold_no_run(tmp_path):
    assert workdirs.read_settings(tmp_path / "new") is None
    assert workdirs.read_settings(tmp_path) is None
    # What a start that was killed before it wrote its settings leaves behind.
    (tmp_path / "run.flags").write_text("--seed=1\n")
    assert workdirs.read_settings(tmp_path) is None


def test_settings_come_back_and_a_folder_of_something_else_is_refused(tmp_path):
    settings = {"model": {"d": 1}, "training": {}, "data": {}, "vocabulary_fingerprint": "ab"}
    workdirs.write_settings(tmp_path / "run", settings, ["--d=1"])
    assert workdirs.read_settings(tmp_path / "run") == settings
    assert (tmp_path / "run/run.flags").read_text() == "--d=1\n"
    with pytest.raises(SettingsError, match="holds something other than a run"):
        workdirs.read_settings(tmp_path)
    (tmp_path / "run/settings.json").write_text("{")
    with pytest.raises(SettingsError, match="cannot be read"):
        workdirs.read_settings(tmp_path / "run")


def test_a_flag_that_names_no_run_is_told_what_is_there_instead(tmp_path):
    with pytest.raises(SettingsError, match="--init_checkpoint=.*new does not exist"):
        workdirs.settings_of_run(tmp_path / "new", "init_checkpoint")
    (tmp_path / "export.json").write_text("{}")
    with pytest.raises(SettingsError, match="--workdir=.* is not the workdir of a run"):
        workdirs.settings_of_run(tmp_path)
    made_of = {"model": {"d": 1}, "training": {}, "data": {}, "vocabulary_fingerprint": "a"}
    workdirs.write_settings(tmp_path / "run", made_of, [])
    assert workdirs.settings_of_run(tmp_path / "run") == made_of


def test_every_difference_is_told(tmp_path):
    before = {"model": {"d": 1, "same": 2}, "seed": 3}
    workdirs.check_same(tmp_path, before, dict(before))
    with pytest.raises(SettingsError, match=r"d was 1, now 5; seed was 3, now None\. Repeat"):
        workdirs.check_same(tmp_path, before, {"model": {"d": 5, "same": 2}})


@pytest.mark.parametrize(
    ("earlier", "now", "extends"),
    [
        ({}, {"train_steps": 200}, True),
        ({}, {"train_steps": 50}, False),
        ({"learning_rate_decay": "linear"}, {"train_steps": 200}, False),
        ({"learning_rate_decay": "cosine"}, {"train_steps": 200}, False),
        ({"learning_rate_decay": "rsqrt"}, {"train_steps": 200}, True),
        ({}, {"train_steps": 200, "seed": 1}, False),
        ({"warmup_proportion": 0.1}, {"train_steps": 200}, False),
        ({"train_epochs": 1.0}, {"train_epochs": 2.0}, True),
        ({"train_epochs": 2.0}, {"train_epochs": 1.0}, False),
        ({}, {"train_epochs": 2.0}, False),
    ],
)
def test_only_more_steps_at_a_rate_that_does_not_know_the_last_extend_a_run(earlier, now, extends):
    defaults = {"train_steps": 100, "warmup_steps": 5, "learning_rate_decay": "constant"}
    before = TrainingSettings(**defaults | earlier)
    assert TrainingSettings(**defaults | earlier | now).extends(before) == extends


def test_a_file_system_that_fails_now_and_then_is_tried_again(tmp_path, monkeypatch, caplog):
    patient = partial(retry.with_retries, sleep=lambda seconds: None)
    monkeypatch.setattr(workdirs, "with_retries", patient)
    replace, left = os.replace, [3]

    def failing(*places):
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(5, "input/output error")
        replace(*places)

    monkeypatch.setattr(os, "replace", failing)
    workdirs.write_atomically(tmp_path / "settings.json", "{}")
    assert (tmp_path / "settings.json").read_text() == "{}"
    assert f"writing {tmp_path / 'settings.json'} failed" in caplog.text
    left[0] = 99
    with pytest.raises(OSError, match="input/output error"):
        workdirs.write_atomically(tmp_path / "settings.json", "new")
    assert (tmp_path / "settings.json").read_text() == "{}"


def _before(precision: str, **model) -> dict:
    return {"training": {"precision": precision}, "model": model}


@pytest.mark.parametrize("way", ["fft", "matmul", "auto"])
def test_auto_is_what_it_came_to_when_the_run_began(way):
    before = _before("mixed_bfloat16", mixing_implementation=way)
    training, model = as_it_began(before, TrainingSettings(precision="auto"), ModelSettings())
    assert training == TrainingSettings(precision="mixed_bfloat16")
    assert model == ModelSettings(mixing_implementation=way)


def test_what_is_asked_for_is_left_alone():
    asked = TrainingSettings(precision="float32"), ModelSettings(mixing_implementation="fft")
    before = _before("mixed_bfloat16", mixing_implementation="matmul")
    assert as_it_began(before, *asked) == asked


def test_a_run_older_than_the_choice_has_none():
    model = as_it_began(_before("float32"), TrainingSettings(), ModelSettings())[1]
    assert model.mixing_implementation == "auto"
