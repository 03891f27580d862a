import pytest

from sparse_mixer_tf.tpu import roofline
from sparse_mixer_tf.tpu.chips import CHIPS, parse_topology
from sparse_mixer_tf.tpu.compiling import Compiled, Refused

TOPOLOGY = parse_topology("v5e:2x2")


def test_a_program_takes_as_long_as_the_slower_of_products_and_memory():
    chip = CHIPS["v5e"]
    products = Compiled(flops=2 * chip.peak, bytes=chip.bandwidth, memory=0, loops=0)
    memory = Compiled(flops=chip.peak, bytes=3 * chip.bandwidth, memory=0, loops=0)
    assert roofline.seconds(products, chip) == pytest.approx(2)
    assert roofline.seconds(memory, chip) == pytest.approx(3)
    assert not roofline.is_bound_by_memory(products, chip)
    assert roofline.is_bound_by_memory(memory, chip)


def test_a_line_says_what_fits_and_what_does_not():
    small = Compiled(1e12, 1e9, memory=3 * 2**30, loops=0)
    large = small._replace(memory=17 * 2**30)
    lines = [roofline.table_line("step", 16, result, TOPOLOGY) for result in (small, large)]
    assert "3.00 fits" in lines[0] and "17.00 does not fit" in lines[1]
    assert "5.08 mxu" in lines[0]  # 1e12 / 197e12 s on v5e
    refused = roofline.table_line(
        "step", 16, Refused("dynamic", "where of sublayer_03_g"), TOPOLOGY
    )
    assert "dynamic shape: where of sublayer_03_g" in refused


def test_the_notes_tell_of_what_is_counted_once():
    loops = [Compiled(1, 1, 1, loops=2)]
    assert any("one turn" in line for line in roofline.notes(TOPOLOGY, loops, 1))
    assert not any("one turn" in line for line in roofline.notes(TOPOLOGY, [], 1))
    assert any("4 micro-batches" in line for line in roofline.notes(TOPOLOGY, [], 4))
