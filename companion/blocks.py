"""The Transformer's encoder block. Copy together with `attention.py`; needs only torch.

Shapes: `B` batch, `T` length, `D` model width, `H` heads.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from .attention import MultiHeadAttention


class FeedForward(nn.Module):
    """Two linear layers and a non-linearity, applied to each position on its own.

    Args:
        d_model: Width `D` of input and output.
        d_ff: Width in between; four times `d_model` in the papers.
        activation: Elementwise function; ReLU in the Transformer, GELU in BERT.

    Source: Vaswani et al. 2017, equation 2. No dropout inside, as there and in BERT;
    `nn.TransformerEncoderLayer` adds one after the activation.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        *,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        self.up_proj = nn.Linear(d_model, d_ff)
        self.down_proj = nn.Linear(d_ff, d_model)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map `(..., D)` to `(..., D)`."""
        return self.down_proj(self.activation(self.up_proj(x)))


class EncoderBlock(nn.Module):
    """Self-attention, then feed-forward; each with dropout, residual and LayerNorm.

    Args:
        d_model: Width `D`.
        num_heads: Number of heads `H`.
        d_ff: Inner width of the feed-forward part.
        dropout: On the output of both sub-layers, before the residual is added.
        attention_dropout: On the attention weights.
        activation: Non-linearity of the feed-forward part.
        norm_first: Normalise the input of each sub-layer (pre-norm) instead of the sum
            (post-norm).
        norm_eps: LayerNorm's epsilon; 1e-12 in BERT.

    Raises:
        ValueError: `d_model` is not divisible by `num_heads`, or a dropout is outside
            [0, 1).

    Source: Vaswani et al. 2017, sections 3.1 and 5.4; pre-norm: Xiong et al. 2020.

    Example:
        >>> import torch
        >>> block = EncoderBlock(d_model=12, num_heads=3, d_ff=48)
        >>> block(torch.randn(2, 5, 12))[0].shape
        torch.Size([2, 5, 12])
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        *,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        activation: Callable[[Tensor], Tensor] = F.relu,
        norm_first: bool = False,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be a probability in [0, 1): got {dropout}")
        self.attention = MultiHeadAttention(
            d_model, num_heads, dropout=attention_dropout
        )
        self.attention_norm = nn.LayerNorm(d_model, eps=norm_eps)
        self.feed_forward = FeedForward(d_model, d_ff, activation=activation)
        self.feed_forward_norm = nn.LayerNorm(d_model, eps=norm_eps)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Transform every position with a look at the others.

        Args:
            x: `(B, T, D)`.
            mask: As in `MultiHeadAttention`: boolean `(B, H, T, T)`, any axis 1, True =
                may look.
            need_weights: Also return the attention weights.

        Returns:
            `(B, T, D)`, and the weights `(B, H, T, T)` or None.
        """
        if self.norm_first:
            attended, weights = self.attention(
                self.attention_norm(x), mask=mask, need_weights=need_weights
            )
            x = x + self.dropout(attended)
            return x + self.dropout(
                self.feed_forward(self.feed_forward_norm(x))
            ), weights
        attended, weights = self.attention(x, mask=mask, need_weights=need_weights)
        x = self.attention_norm(x + self.dropout(attended))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x))), weights
