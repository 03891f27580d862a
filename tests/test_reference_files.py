"""A clone holds numbers of both originals, and a test that finds none of them fails."""

import numpy as np
import pytest

from tests.reference_files import FIXTURES, read_arrays, reference_names, reference_path

SYSTEMS = ("sparse_mixers", "brainformer")


def names_in_a_clone(system: str, pattern: str) -> list[str]:
    return [name for name in reference_names(system, pattern) if isinstance(name, str)]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_pattern_of_nothing_and_a_name_of_nothing_are_refused(system):
    with pytest.raises(FileNotFoundError, match="holds no no_such_.*npz"):
        reference_names(system, "no_such_*")
    with pytest.raises(FileNotFoundError, match="holds no no_such.npz"):
        reference_path(system, "no_such.npz")


def test_an_empty_set_of_parameters_is_refused(pytestconfig):
    assert pytestconfig.getini("empty_parameter_set_mark") == "fail_at_collect"


@pytest.mark.parametrize(
    ("system", "pattern", "least"),
    [
        ("sparse_mixers", "mix_*", 10),
        ("sparse_mixers", "router_*_f32", 6),
        ("sparse_mixers", "moe_*_f32_g1_*", 10),
        ("sparse_mixers", "moe_*_f32_g2_correct", 5),
        ("sparse_mixers", "pretrain_*", 6),
        ("sparse_mixers", "classify_*", 2),
        ("brainformer", "attn_*", 3),
        ("brainformer", "moe_top2*", 2),
        ("brainformer", "full_*", 1),
        ("brainformer", "adagrad_*", 2),
        ("brainformer", "data_*", 2),
    ],
)
def test_a_clone_has_cases_of_every_part(system, pattern, least):
    assert len(names_in_a_clone(system, pattern)) >= least


def test_the_numbers_take_few_bytes_and_no_float64():
    files = [path for path in FIXTURES.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 5e6
    for system in SYSTEMS:
        for name in names_in_a_clone(system, "*"):
            arrays = read_arrays(system, name)
            kinds = {array.dtype for array in arrays.values()}
            assert arrays and kinds <= {np.dtype(kind) for kind in ("float32", "int32", "int64")}
            assert not any(key.startswith("f32/") for key in arrays), name
