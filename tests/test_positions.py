"""companion.positions: the paper's formula, its properties, errors."""

import math

import pytest
import torch

from companion.positions import LearnedPositions, SinusoidalPositions, sinusoidal_positions

B, T, D = 2, 7, 22


def test_hand_computed():
    expected = [
        [0.0, 1.0, 0.0, 1.0],
        [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)],
        [math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)],
    ]
    torch.testing.assert_close(sinusoidal_positions(3, 4), torch.tensor(expected))


def test_last_wavelength():
    # Pair i has wavelength 2 pi base**(2i / D); the last pair of D = 64 has i = 31.
    period = 2 * math.pi * 10_000 ** (62 / 64)
    table = sinusoidal_positions(2 * round(period), 64)
    assert abs(table[round(period), -1] - 1) < 1e-3  # the cosine is back at 1
    assert abs(table[round(period / 2), -1] + 1) < 1e-3


def test_dot_product_depends_on_the_offset_alone():
    table = sinusoidal_positions(50, D).double()
    products = table @ table.T
    for offset in (1, 5, 20):
        diagonal = products.diagonal(offset)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=0)


def test_far_positions_are_exact():
    # In float32 the angle itself would be off by 3e-4 here.
    expected = math.sin(4_999 / 10_000 ** (2 / 64))
    assert abs(sinusoidal_positions(5_000, 64)[4_999, 2].item() - expected) < 1e-7


@pytest.mark.parametrize(
    "make", [lambda: SinusoidalPositions(D, max_len=T), lambda: LearnedPositions(D, max_len=T)]
)
class TestModules:
    def test_adds_the_first_rows(self, make, device):
        positions, x = make().to(device), torch.randn(B, 3, D, device=device)
        torch.testing.assert_close(positions(x) - x, positions.table[:3].expand(B, 3, D))

    def test_too_long(self, make):
        with pytest.raises(ValueError, match="x must have at most max_len=7 tokens: got 8"):
            make()(torch.randn(B, T + 1, D))

    def test_wrong_width(self, make):
        with pytest.raises(ValueError, match=r"x must be \(B, T, 22\): got \(2, 7, 23\)"):
            make()(torch.randn(B, T, D + 1))

    def test_other_ways_to_run(self, make):
        assert make().double()(torch.randn(B, T, D).double()).dtype == torch.float64
        assert make().to("meta")(torch.empty(B, T, D, device="meta")).shape == (B, T, D)
        positions, x = make(), torch.randn(B, T, D)
        compiled = torch.compile(positions, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), positions(x))
        with torch.autocast("cpu", torch.bfloat16):
            assert positions(x).dtype == torch.float32  # an addition is not worth losing bits


def test_sinusoids_are_not_saved_and_learned_ones_are():
    assert SinusoidalPositions(D).state_dict() == {}
    assert list(LearnedPositions(D, max_len=T).state_dict()) == ["table"]
    assert LearnedPositions(D, max_len=T).table.requires_grad


@pytest.mark.parametrize("d_model", [0, 7])
def test_odd_width(d_model):
    with pytest.raises(ValueError, match=f"d_model must be positive and even.*: got {d_model}"):
        sinusoidal_positions(3, d_model)


def test_no_positions():
    with pytest.raises(ValueError, match="length must be at least 1 token: got 0"):
        sinusoidal_positions(0, D)
