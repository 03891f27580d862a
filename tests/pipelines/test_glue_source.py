import pytest

from pipelines import glue_tasks
from pipelines.errors import InputError
from pipelines.glue_source import GlueSource

PREPARED = sorted(set(glue_tasks.TASKS) - {"glue/ax", "super_glue/record"})


@pytest.mark.parametrize("name", PREPARED)
def test_every_prepared_task_is_read_through_tfds(shared, name):
    source = GlueSource(name, str(shared / "data/tfds"))
    assert source.validation, name
    examples = source.read(source.validation[-1])
    width = len(source.task.fields)
    assert len(examples) >= 56 and all(len(e.texts) == width for e in examples)
    if source.labels:
        assert {e.label for e in examples} == set(range(len(source.labels)))
    else:
        assert 0 <= min(e.label for e in examples) < max(e.label for e in examples) <= 5


def test_the_first_record_of_a_split_stays_the_first(shared):
    source = GlueSource("glue/cola", str(shared / "data/tfds"))
    assert source.read("validation")[:5] == source.read("validation")[:5]
    assert len({e.number for e in source.read("validation")}) == 1043


def test_splits_that_are_not_prepared_are_named(shared):
    source = GlueSource("glue/mnli", str(shared / "data/tfds"))
    assert source.validation == ("validation_matched",)
    assert source.missing == ("validation_mismatched", "test_matched", "test_mismatched")
    with pytest.raises(InputError, match="has no split 'test'; there are train, validation_mat"):
        source.read("test")


@pytest.mark.parametrize("name", ["super_glue/record", "glue/ax"])
def test_data_that_are_not_prepared_name_the_command(tmp_path, name):
    with pytest.raises(InputError, match=f"run `tfds build {name} --data_dir={tmp_path}` first"):
        GlueSource(name, str(tmp_path))


@pytest.mark.parametrize("name", ["super_glue/record", "glue/ax", "glue/mnli"])
def test_what_is_missing_is_read_from_made_up_data(name, monkeypatch, tmp_path):
    import tensorflow_datasets as tfds

    source = GlueSource.__new__(GlueSource)
    source.task, source._tfds = glue_tasks.find(name), tfds
    source._mark_spans, source._data_dir = True, str(tmp_path)
    split = {"glue/ax": "test", "glue/mnli": "validation_mismatched"}.get(name, "validation")
    source.sizes = {split: 3}
    with tfds.testing.mock_data(num_examples=3):
        examples = source.read(split)
    assert len({example.number for example in examples}) <= 3
    assert all(len(example.texts) == len(source.task.fields) for example in examples)
    if name == "super_glue/record":
        assert all(example.candidate == example.texts[0] for example in examples)
