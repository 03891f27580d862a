import pytest

from pipelines.errors import InputError
from pipelines.records import BadRecords
from pipelines.settings import DataSettings
from pipelines.sources import Source
from pipelines.tfds_text import TfdsText


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
