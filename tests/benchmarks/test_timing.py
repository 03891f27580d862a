import argparse
import dataclasses

import numpy as np
import pytest

from benchmarks import compare, timing


def test_a_process_of_its_own_does_not_count_the_memory_of_this_one():
    # Written, since pages that nobody has written to are not held.
    held = np.ones(2**28, np.uint8)
    here = timing.peak_memory_mib()
    assert here > held.nbytes / 2**20
    del held
    in_another = timing.alone(timing.peak_memory_mib)
    assert 50 < in_another < here - 128


@pytest.mark.parametrize("sizes", compare.SIZES)
def test_peers_stand_beside_our_model_of_their_kind(sizes):
    options = argparse.Namespace(
        batch=4, precision="mixed_bfloat16", jit_compile="elementwise", peers=True,
        parts_at_once=1, beside_float32=False,
    )  # fmt: skip
    ours, *beside = compare.fields(sizes, options)
    assert list(ours) == ["BERT", "FNet", "linear", "Sparse Mixer", "Fast Sparse Mixer"]
    for name, field in zip(("BERT", "FNet"), beside, strict=True):
        assert list(field) == [name, f"{name}, KerasHub", f"{name}, transformers"]
        assert field[name] == ours[name]
        for _, (kind, settings, common) in list(field.values())[1:]:
            assert (kind, (settings, common)) == (name, ours[name][1])
    options.peers = False
    assert compare.fields(sizes, options) == [ours]


def test_beside_float32_each_of_ours_stands_against_itself():
    options = argparse.Namespace(
        batch=4, precision="mixed_bfloat16", jit_compile="elementwise", peers=False,
        parts_at_once=1, beside_float32=True,
    )  # fmt: skip
    ours, *beside = compare.fields("small", options)
    assert [list(field) for field in beside] == [[f"{name}, float32", name] for name in ours]
    for field, (name, (make, (settings, common))) in zip(beside, ours.items(), strict=True):
        assert (common.precision, common.way) == ("mixed_bfloat16", "elementwise")
        plain = dataclasses.replace(common, precision="float32", way="false")
        assert field[f"{name}, float32"] == (make, (settings, plain))
        assert field[name] == ours[name]
