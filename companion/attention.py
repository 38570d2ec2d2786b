"""Scaled dot-product and multi-head attention. Copy this file alone; needs only torch.

Shapes: `B` batch, `T` query length, `S` key length, `D` model width, `H` heads, `K`
head width. Masks are boolean and **True means "may look"**, as in
`torch.nn.functional.scaled_dot_product_attention`; `torch.nn.MultiheadAttention` reads
them the other way round. A query that may look at nothing gets zeros.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def attention_weights(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None = None,
    *,
    scale: float | None = None,
) -> Tensor:
    """How much each query takes from each key: non-negative, and every row sums to one.

    Args:
        query: `(..., T, K)`.
        key: `(..., S, K)`.
        mask: Boolean, broadcastable to `(..., T, S)`; True = this query may look at
            this key.
        scale: Factor on the dot products; `1 / sqrt(K)` if None.

    Returns:
        `(..., T, S)`. The row of a query that may look at nothing is all zeros.

    Raises:
        TypeError: The mask is not boolean.
        ValueError: The mask does not broadcast to the scores.

    Source: Vaswani et al. 2017, equation 1, the softmax factor.

    Example:
        >>> query, key = torch.tensor([[1.0]]), torch.tensor([[math.log(3)], [0.0]])
        >>> attention_weights(query, key)
        tensor([[0.7500, 0.2500]])
    """
    scale = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    # Scaling the query instead of the product keeps float16 scores of wide heads from
    # overflowing.
    scores = (query * scale) @ key.transpose(-2, -1)  # (..., T, S)
    if mask is None:
        return scores.softmax(-1)
    _check_mask(mask, scores.shape)
    may_look, blind = _without_blind_rows(mask)
    return scores.masked_fill(~may_look, -torch.inf).softmax(-1).masked_fill(blind, 0.0)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    dropout_p: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """Average the values, each query with its own weights, in PyTorch's fused kernel.

    Equal to `dropout(attention_weights(query, key, mask)) @ value`, without storing the
    weights.

    Args:
        query: `(..., T, K)`.
        key: `(..., S, K)`.
        value: `(..., S, V)`; `V` may differ from `K`.
        mask: Boolean, broadcastable to `(..., T, S)`; True = this query may look at
            this key.
        dropout_p: Probability of dropping a weight, applied whenever it is positive.
        scale: Factor on the dot products; `1 / sqrt(K)` if None.

    Returns:
        `(..., T, V)`. A query that may look at nothing gets zeros, and zero gradient.

    Raises:
        TypeError: The mask is not boolean.
        ValueError: The mask does not broadcast to the scores.

    Source: Vaswani et al. 2017, equation 1. Dropout on the weights is not in the
    paper's text; it is in the authors' code (tensor2tensor) and in BERT.

    Example:
        >>> query, key = torch.tensor([[1.0]]), torch.tensor([[math.log(3)], [0.0]])
        >>> value = torch.tensor([[4.0, 0.0], [0.0, 8.0]])
        >>> scaled_dot_product_attention(query, key, value).round(decimals=3)
        tensor([[3., 2.]])
    """
    if mask is None:
        return F.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout_p, scale=scale
        )
    _check_mask(mask, (*query.shape[:-1], key.size(-2)))
    # The kernels disagree about rows that may look at nothing (zeros, NaN or a uniform
    # average, by device and version). So no kernel ever meets one: such a row looks
    # everywhere, and its output is erased.
    may_look, blind = _without_blind_rows(mask)
    output = F.scaled_dot_product_attention(
        query, key, value, attn_mask=may_look, dropout_p=dropout_p, scale=scale
    )
    return output.masked_fill(blind, 0.0)


class MultiHeadAttention(nn.Module):
    """Attention in `num_heads` learned subspaces at once, of one sequence or two.

    Args:
        d_model: Width `D` of queries, keys, values and output.
        num_heads: Number of heads `H`; each works in `K = D / H` dimensions.
        dropout: Probability of dropping an attention weight while training.
        bias: Whether the four projections have a bias.

    Raises:
        ValueError: `d_model` is not divisible by `num_heads`, or `dropout` is outside
            [0, 1).

    Source: Vaswani et al. 2017, section 3.2.2. Departure: projections have biases, as
    in BERT and in `nn.MultiheadAttention`.

    Example:
        >>> attention = MultiHeadAttention(d_model=12, num_heads=3)
        >>> x, memory = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
        >>> output, weights = attention(x, memory, need_weights=True)
        >>> output.shape, weights.shape
        (torch.Size([2, 5, 12]), torch.Size([2, 3, 5, 7]))
    """

    def __init__(
        self, d_model: int, num_heads: int, *, dropout: float = 0.0, bias: bool = True
    ) -> None:
        super().__init__()
        if num_heads < 1 or d_model % num_heads:
            raise ValueError(
                "d_model must be divisible by num_heads: "
                f"got d_model={d_model}, num_heads={num_heads}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be a probability in [0, 1): got {dropout}")
        self.d_model = d_model
        self.num_heads = num_heads
        self.dropout = dropout
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Let every query position look at every key position it may look at.

        Args:
            query: `(B, T, D)`.
            key: `(B, S, D)`; the query itself if None (self-attention).
            value: `(B, S, D)`; the key if None.
            mask: Boolean with exactly four axes, `(B, H, T, S)`, any of them 1 to
                broadcast; True = may look. A padding mask is `(B, 1, 1, S)`, a causal
                one `(1, 1, T, S)`. Masks with fewer axes are refused: a `(B, S)` mask
                would be read as `(T, S)` whenever the sizes happen to agree.
            need_weights: Also return the weights of every head; slower, since they must
                then be stored.

        Returns:
            The output `(B, T, D)`, and the weights `(B, H, T, S)` before dropout, or
            None.

        Raises:
            TypeError: The mask is not boolean.
            ValueError: A shape does not fit.
        """
        key = query if key is None else key
        value = key if value is None else value
        self._check_inputs(query, key, value, mask)
        q = self._split_heads(self.q_proj(query))
        k = self._split_heads(self.k_proj(key))
        v = self._split_heads(self.v_proj(value))
        dropout_p = self.dropout if self.training else 0.0
        if need_weights:
            weights = attention_weights(q, k, mask)
            heads = F.dropout(weights, dropout_p).to(v.dtype) @ v
        else:
            weights = None
            heads = scaled_dot_product_attention(q, k, v, mask, dropout_p=dropout_p)
        return self.out_proj(heads.transpose(1, 2).flatten(2)), weights  # (B, T, D)

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(
            1, 2
        )  # (B, H, T or S, K)

    def _check_inputs(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
    ) -> None:
        for name, x in (("query", query), ("key", key), ("value", value)):
            if x.dim() != 3 or x.size(-1) != self.d_model:
                raise ValueError(
                    f"{name} must be (B, length, {self.d_model}): got {tuple(x.shape)}"
                )
        if not query.size(0) == key.size(0) == value.size(0):
            raise ValueError(
                "query, key and value must share the batch size: "
                f"got {query.size(0)}, {key.size(0)} and {value.size(0)}"
            )
        if key.size(1) != value.size(1):
            raise ValueError(
                "key and value must share their length: "
                f"got {key.size(1)} and {value.size(1)}"
            )
        if mask is not None:
            _check_mask(
                mask,
                (query.size(0), self.num_heads, query.size(1), key.size(1)),
                exact_axes=True,
            )

    def extra_repr(self) -> str:
        """Show the head count and the dropout, which no submodule shows."""
        return f"num_heads={self.num_heads}, dropout={self.dropout}"


def _without_blind_rows(mask: Tensor) -> tuple[Tensor, Tensor]:
    """A mask that leaves no row empty, and the rows `(..., T, 1)` that were empty."""
    blind = ~mask.any(-1, keepdim=True)
    return mask | blind, blind


def _check_mask(
    mask: Tensor, shape: tuple[int, ...], *, exact_axes: bool = False
) -> None:
    """Refuse masks that PyTorch would add to the scores or stretch over wrong axes."""
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean, True = may look: got {mask.dtype}")
    fits = mask.dim() == len(shape) if exact_axes else mask.dim() <= len(shape)
    if not fits or any(
        m not in (1, s) for m, s in zip(mask.shape[::-1], shape[::-1], strict=False)
    ):
        kind = "be" if exact_axes else "broadcast to"
        raise ValueError(
            f"mask must {kind} {tuple(shape)}{', any axis 1' if exact_axes else ''}: "
            f"got {tuple(mask.shape)}"
        )
