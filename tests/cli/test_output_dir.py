import errno
import os

import pytest

from sparse_mixer_tf.cli.output_dir import check_output, unfinished
from sparse_mixer_tf.serving.export_dir import FACTS, read_facts
from sparse_mixer_tf.settings import SettingsError


def _export(folder, content):
    with unfinished(folder) as writing:
        (writing / FACTS).write_text(content)


def test_a_folder_gets_its_name_when_it_is_whole(tmp_path):
    output = tmp_path / "exports/new"
    with unfinished(output) as folder:
        (folder / FACTS).write_text("{}")
        assert not output.exists()
    assert [path.name for path in output.parent.iterdir()] == ["new"]
    assert read_facts(output) == {}


def test_a_failure_leaves_nothing_or_the_earlier_export(tmp_path):
    for earlier in (None, '{"a": 1}'):
        output = tmp_path / "new"
        if earlier:
            _export(output, earlier)
        with pytest.raises(RuntimeError), unfinished(output) as folder:
            (folder / FACTS).write_text("{}")
            raise RuntimeError
        assert [path.name for path in tmp_path.iterdir()] == (["new"] if earlier else [])
    assert read_facts(output) == {"a": 1}


def test_an_export_replaces_an_earlier_one_whole(tmp_path):
    _export(tmp_path / "new", '{"a": 1}')
    (tmp_path / "new/more").write_text("")
    check_output(tmp_path / "new", replaces=FACTS)
    with pytest.raises(SettingsError, match="new is not empty"):
        check_output(tmp_path / "new")
    _export(tmp_path / "new", '{"a": 2}')
    assert read_facts(tmp_path / "new") == {"a": 2}
    assert not (tmp_path / "new/more").exists()


def test_an_earlier_export_comes_back_if_the_new_one_cannot_get_its_name(tmp_path, monkeypatch):
    output, rename = tmp_path / "new", os.rename
    _export(output, '{"a": 1}')

    def interrupted(source, target):
        if source.name.endswith(".writing"):
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _export(output, '{"a": 2}')
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert read_facts(output) == {"a": 1}


def test_a_disk_that_refuses_is_one_line_of_the_user(tmp_path):
    refused = pytest.raises(SettingsError, match="--output=.*new: No space left")
    with refused, unfinished(tmp_path / "new"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


def test_what_is_no_export_is_never_replaced(tmp_path):
    (tmp_path / "empty").mkdir()
    check_output(tmp_path / "empty")
    check_output(tmp_path / "a/b/c")
    assert not (tmp_path / "a").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("years of work")
    with pytest.raises(SettingsError, match="full is not empty; give .* or one with export.json"):
        check_output(tmp_path / "full", replaces=FACTS)
    with pytest.raises(SettingsError, match="is a file; give a folder"):
        check_output(tmp_path / "full/thesis.tex")
    with pytest.raises(SettingsError, match="holds no export"):
        read_facts(tmp_path / "full")
