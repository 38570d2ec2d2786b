"""Sinusoidal and learned positions. Copy this file alone; needs only torch.

Shapes: `B` batch, `T` length, `D` model width. Positions are counted in tokens from 0.
"""

import torch
from torch import Tensor, nn


def sinusoidal_positions(
    length: int, d_model: int, *, base: float = 10_000.0
) -> Tensor:
    """A table of waves: one row a position, one wavelength a pair of columns.

    Args:
        length: Number of positions `T`.
        d_model: Width `D`; must be even.
        base: The longest wavelength is nearly `2 * pi * base` tokens.

    Returns:
        `(T, D)` in the default dtype: sine in even columns, cosine in odd ones.

    Raises:
        ValueError: `length` is not positive, or `d_model` is not positive and even.

    Source: Vaswani et al. 2017, section 3.5.

    Example:
        >>> sinusoidal_positions(2, 4)
        tensor([[0.0000, 1.0000, 0.0000, 1.0000],
                [0.8415, 0.5403, 0.0100, 0.9999]])
    """
    if d_model < 2 or d_model % 2:
        raise ValueError(
            "d_model must be positive and even, one sine and one cosine a pair: "
            f"got {d_model}"
        )
    if length < 1:
        raise ValueError(f"length must be at least 1 token: got {length}")
    # In float32 the angle of position 5,000 is off by 3e-4 already; the table is
    # computed in float64.
    position = torch.arange(length, dtype=torch.float64)[:, None]
    frequency = base ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    angle = position * frequency  # (T, D / 2)
    return (
        torch.stack((angle.sin(), angle.cos()), -1)
        .flatten(1)
        .to(torch.get_default_dtype())
    )


class SinusoidalPositions(nn.Module):
    """Add the sinusoidal table to token vectors; nothing is learned or saved.

    Args:
        d_model: Width `D`; must be even.
        max_len: Longest sequence in tokens.

    Raises:
        ValueError: See `sinusoidal_positions`.

    Source: Vaswani et al. 2017, section 3.5.
    """

    def __init__(self, d_model: int, *, max_len: int = 5_000) -> None:
        super().__init__()
        self.register_buffer(
            "table", sinusoidal_positions(max_len, d_model), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return `x + table[:T]`, `(B, T, D)`; ValueError if `x` is too long."""
        _check_input(x, self.table)
        return x + self.table[: x.size(1)]


class LearnedPositions(nn.Module):
    """Add one learned vector per position, as BERT and GPT do.

    Args:
        d_model: Width `D`.
        max_len: Longest sequence in tokens; there is no vector beyond it.

    Source: Gehring et al. 2017, section 3.1; compared with sinusoids in Vaswani et al.
    2017, table 3 (E).
    """

    def __init__(self, d_model: int, *, max_len: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(max_len, d_model))
        nn.init.normal_(self.table, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x + table[:T]`, `(B, T, D)`; ValueError if `x` is too long."""
        _check_input(x, self.table)
        return x + self.table[: x.size(1)]


def _check_input(x: Tensor, table: Tensor) -> None:
    if x.dim() != 3 or x.size(-1) != table.size(-1):
        raise ValueError(f"x must be (B, T, {table.size(-1)}): got {tuple(x.shape)}")
    if x.size(1) > table.size(0):
        raise ValueError(
            f"x must have at most max_len={table.size(0)} tokens: got {x.size(1)}"
        )
