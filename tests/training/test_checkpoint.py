import json
import os

import keras
import numpy as np
import pytest

from sparse_mixer_tf.training import checkpoint
from sparse_mixer_tf.training.checkpoint import CheckpointError, Checkpoints, named


def _variables(value=0.0):
    kernel = keras.Variable(np.full((3, 2), value, "float32"), name="kernel")
    count = keras.Variable(np.array(value, "int64"), dtype="int64", name="count", trainable=False)
    half = keras.Variable(np.full(4, value), dtype="bfloat16", name="half")
    return named({"model": [kernel, half], "optimizer": [count]})


def _checkpoints(folder, keep=2, value=0.0):
    return Checkpoints(folder, _variables(value), keep)


def _assign(checkpoints, value):
    for variable in checkpoints.variables.values():
        variable.assign(np.full(variable.shape, value))


def _values(checkpoints):
    return {float(np.asarray(v.numpy(), "float64").max()) for v in checkpoints.variables.values()}


def test_what_is_saved_comes_back_to_the_bit(tmp_path):
    first = _checkpoints(tmp_path)
    random = np.random.RandomState(0)
    for variable in first.variables.values():
        variable.assign(random.randn(*variable.shape) * 100)
    first.save(7, {"seed": 3})
    second = _checkpoints(tmp_path)
    assert second.restore_latest() == {"step": 7, "seed": 3, "score": None} | {
        "sha256": json.loads((tmp_path / "00000007/manifest.json").read_text())["sha256"]
    }
    for name, variable in first.variables.items():
        assert variable.numpy().tobytes() == second.variables[name].numpy().tobytes()
        assert variable.dtype == second.variables[name].dtype


def test_old_checkpoints_go_and_the_best_stays(tmp_path):
    checkpoints = _checkpoints(tmp_path, keep=2)
    assert checkpoints.best() is None and checkpoints.best_step() is None
    checkpoints.save(1, {}, None)
    assert checkpoints.best_step() == 1
    checkpoints = _checkpoints(tmp_path / "scored", keep=2)
    for step, score in ((1, 0.5), (2, 0.75), (3, None), (4, None)):
        checkpoints.save(step, {}, score)
    assert checkpoints.steps() == [1, 3, 4]
    assert (checkpoints.best()["step"], checkpoints.best()["score"]) == (1, 0.5)
    assert checkpoints.best_step() == 1
    checkpoints.save(5, {}, 0.25)
    assert checkpoints.steps() == [4, 5]


def _truncate(folder):
    path = folder / "state.safetensors"
    os.truncate(path, path.stat().st_size // 2)


def _flip(folder):
    path = folder / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _change(folder, name, value):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {name: value}))


@pytest.mark.parametrize(
    "damage",
    [
        _truncate,
        _flip,
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "state.safetensors").unlink(),
        lambda folder: (folder / "manifest.json").write_text('{"step": 2'),
        lambda folder: (folder / "manifest.json").write_text("[]"),
        lambda folder: _change(folder, "step", 7),
        lambda folder: _change(folder, "passed_over", 1),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_and_never_started_afresh(tmp_path, damage):
    checkpoints = _checkpoints(tmp_path)
    for step in (1, 2):
        _assign(checkpoints, step)
        checkpoints.save(step, {})
    damage(tmp_path / "00000002")
    fresh = _checkpoints(tmp_path)
    assert fresh.restore_latest()["step"] == 1
    assert _values(fresh) == {1.0}
    damage(tmp_path / "00000001")
    with pytest.raises(CheckpointError, match="none of the checkpoints .* is whole"):
        _checkpoints(tmp_path).restore_latest()


def test_a_damaged_checkpoint_gives_way_to_a_new_one_of_its_step(tmp_path):
    checkpoints = _checkpoints(tmp_path)
    checkpoints.save(1, {})
    checkpoints.save(2, {})
    _flip(tmp_path / "00000002")
    _assign(checkpoints, 5)
    checkpoints.save(2, {})
    _assign(checkpoints, 0)
    assert checkpoints.restore_latest()["step"] == 2
    assert _values(checkpoints) == {5.0}


@pytest.mark.parametrize("keep", [1, 2])
def test_a_damaged_checkpoint_pushes_no_good_one_out(tmp_path, keep):
    checkpoints = _checkpoints(tmp_path, keep=keep)
    for step in (4, 12):
        checkpoints.keep = 9
        checkpoints.save(step, {}, score=1.0 / step)
    checkpoints.keep = keep
    _flip(tmp_path / "00000012")
    assert checkpoints.restore_latest()["step"] == 4
    for step in (6, 8, 10):
        _assign(checkpoints, step)
        checkpoints.save(step, {})
        assert checkpoints.restore_latest()["step"] == step and _values(checkpoints) == {step}
    assert checkpoints.steps() == [6, 8, 10, 12][-1 - keep :]
    # The best so far is not the one that is damaged.
    assert checkpoints.best()["step"] == 12 and checkpoints.best(last=10) is None


def test_a_write_that_was_cut_off_is_no_checkpoint(tmp_path, monkeypatch):
    checkpoints = _checkpoints(tmp_path)
    checkpoints.save(1, {})

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(2, {})
    monkeypatch.undo()
    assert checkpoints.steps() == [1]
    checkpoints.save(2, {})
    assert checkpoints.steps() == [1, 2]


def test_a_checkpoint_of_another_model_is_refused_by_name(tmp_path):
    _checkpoints(tmp_path).save(1, {})
    other = named({"model": [keras.Variable(np.zeros((3, 2)), name="kernel")]})
    with pytest.raises(CheckpointError, match="has an extra model/half"):
        Checkpoints(tmp_path, other).restore_latest()
    more = _variables() | {"model/extra": keras.Variable(np.zeros(1), name="extra")}
    with pytest.raises(CheckpointError, match="lacks model/extra"):
        Checkpoints(tmp_path, more).restore_latest()
    wide = _variables() | {"model/kernel": keras.Variable(np.zeros((3, 5)), name="kernel")}
    with pytest.raises(CheckpointError, match=r"has shape \(3, 2\), the model's is \(3, 5\)"):
        Checkpoints(tmp_path, wide).restore_latest()


def test_the_model_is_read_without_its_optimizer(tmp_path):
    whole = _checkpoints(tmp_path, value=5.0)
    whole.save(1, {})
    model = {name: v for name, v in _variables().items() if name.startswith("model/")}
    Checkpoints(tmp_path, model).restore(1)
    assert {float(np.asarray(v.numpy(), "float64").max()) for v in model.values()} == {5.0}


def test_two_variables_of_one_name_are_refused():
    twins = [keras.Variable(0.0, name="x"), keras.Variable(0.0, name="x")]
    with pytest.raises(CheckpointError, match="two variables are called model/x"):
        named({"model": twins})


FACTS = {"step": 12, "sha256": "ab", "score": 0.1, "complete": False, "seed": 3, "passed_over": 2}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "00000012"
    made.mkdir()
    return made


def test_facts_come_back_as_they_were(folder):
    checkpoint.write_manifest(folder, FACTS | {"score": float("nan"), "named": (1, 2)})
    read = checkpoint.read_manifest(folder)
    assert read.pop("score") != 0 and read.pop("named") == [1, 2]
    assert read == {k: v for k, v in FACTS.items() if k != "score"}


def test_no_byte_of_a_fact_can_change_unnoticed(folder):
    checkpoint.write_manifest(folder, FACTS)
    written = (folder / "manifest.json").read_bytes()
    refused = 0
    for place in range(len(written)):
        changed = bytearray(written)
        changed[place] ^= 1 << place % 8
        (folder / "manifest.json").write_bytes(changed)
        try:
            read = checkpoint.read_manifest(folder)
        except ValueError:
            refused += 1
        else:
            # White space, or the word "seal" itself.
            assert {name: read[name] for name in FACTS} == FACTS
    assert refused > 0.8 * len(written)


@pytest.mark.parametrize("content", ["[]", "3", "[" * 100_000, '{"step": 13}', "{}", ""])
def test_what_is_no_manifest_of_this_step_is_refused(folder, content):
    (folder / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"manifest|Expecting"):
        checkpoint.read_manifest(folder)


def test_one_without_a_seal_is_of_an_earlier_version(folder):
    (folder / "manifest.json").write_text(json.dumps(FACTS))
    assert checkpoint.read_manifest(folder) == FACTS
