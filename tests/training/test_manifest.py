import json

import pytest

from sparse_mixer_tf.training import manifest

FACTS = {"step": 12, "sha256": "ab", "score": 0.1, "complete": False, "seed": 3, "passed_over": 2}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "00000012"
    made.mkdir()
    return made


def test_facts_come_back_as_they_were(folder):
    manifest.write(folder, FACTS | {"score": float("nan"), "named": (1, 2)})
    read = manifest.read(folder)
    assert read.pop("score") != 0 and read.pop("named") == [1, 2]
    assert read == {k: v for k, v in FACTS.items() if k != "score"}


def test_no_byte_of_a_fact_can_change_unnoticed(folder):
    manifest.write(folder, FACTS)
    written = (folder / "manifest.json").read_bytes()
    refused = 0
    for place in range(len(written)):
        changed = bytearray(written)
        changed[place] ^= 1 << place % 8
        (folder / "manifest.json").write_bytes(changed)
        try:
            read = manifest.read(folder)
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
        manifest.read(folder)


def test_one_without_a_seal_is_of_an_earlier_version(folder):
    (folder / "manifest.json").write_text(json.dumps(FACTS))
    assert manifest.read(folder) == FACTS
