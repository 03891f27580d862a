import pytest

from benchmarks.growth import GROWTHS, slope, theory
from benchmarks.growth_picture import Curves, draw


def test_a_slope_is_the_exponent():
    values = GROWTHS["batch"].values
    assert slope(values, [3 * value**2 for value in values]) == pytest.approx(2)
    assert slope(values, [5.0] * len(values)) == 0


@pytest.mark.parametrize("growth, least, most", [
    ("sequence", 1.3, 2.0),  # attention: at 4,096 tokens most of the work is of their pairs
    ("batch", 0.9, 1.0),
    ("layers", 0.5, 1.0),
])  # fmt: skip
def test_theory_of_time_for_bert(growth, least, most):
    values, _, point = GROWTHS[growth]
    times = [theory(point("BERT", value), 200.0, 15.0)[0] for value in values]
    assert least < slope(values, times) <= most


def test_experts_cost_memory_and_little_time():
    values, _, point = GROWTHS["experts"]
    costs = [theory(point("Sparse Mixer", n), 200.0, 15.0) for n in values]
    times, memory = zip(*costs, strict=True)
    assert slope(values, times) < 0.5 < slope(values, memory) <= 1


def test_the_picture_has_a_column_for_each(tmp_path):
    costs = [[1.0, 2.0, 4.0], [10.0, 11.0, 12.0]]
    drawn = [Curves(growth, "BERT", (1, 2, 4), costs, costs) for growth in ("batch", "layers")]
    draw(drawn, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
