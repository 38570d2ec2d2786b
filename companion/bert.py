"""BERT: embeddings, encoder and pooler.

Copy together with `attention.py`, `blocks.py` and `positions.py`; needs only torch.

Shapes: `B` batch, `T` length in tokens, `D` model width, `H` heads, `L` layers.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import EncoderBlock
from .positions import LearnedPositions


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """The numbers that fix a BERT's size; the defaults are BERT-base, uncased.

    Raises:
        ValueError: A size is not positive, `d_model` is not divisible by `num_heads`, a
            dropout is outside [0, 1), or `pad_id` is not a token of the vocabulary.

    Source: Devlin et al. 2019, section 3 and appendix A.2; `norm_eps` from the authors'
    code.
    """

    vocab_size: int = 30_522
    d_model: int = 768
    num_layers: int = 12
    num_heads: int = 12
    d_ff: int = 3_072
    max_len: int = 512
    num_segments: int = 2
    dropout: float = 0.1
    attention_dropout: float = 0.1
    norm_eps: float = 1e-12
    init_std: float = 0.02
    pad_id: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes that no BERT can have."""
        sizes = (
            "vocab_size",
            "d_model",
            "num_layers",
            "num_heads",
            "d_ff",
            "max_len",
            "num_segments",
        )
        for name in sizes:
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1: got {getattr(self, name)}"
                )
        if self.d_model % self.num_heads:
            raise ValueError(
                "d_model must be divisible by num_heads: "
                f"got d_model={self.d_model}, num_heads={self.num_heads}"
            )
        for name in ("dropout", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be a probability in [0, 1): got {getattr(self, name)}"
                )
        if not 0 <= self.pad_id < self.vocab_size:
            raise ValueError(
                f"pad_id must be in [0, vocab_size={self.vocab_size}): "
                f"got {self.pad_id}"
            )


BERT_BASE = BertConfig()
BERT_LARGE = BertConfig(d_model=1_024, num_layers=24, num_heads=16, d_ff=4_096)
# The size of all-MiniLM-L6-v2, the weights that come packaged with the book.
MINILM_L6 = BertConfig(d_model=384, num_layers=6, num_heads=12, d_ff=1_536)


class BertOutput(NamedTuple):
    """What `Bert` returns; the last two are None unless asked for."""

    last_hidden: Tensor  # (B, T, D): one vector a token
    pooled: Tensor  # (B, D): the first token's, through a dense layer and tanh
    hidden_states: (
        tuple[Tensor, ...] | None
    )  # L + 1 of (B, T, D): the embeddings, then every block's output
    attention_weights: tuple[Tensor, ...] | None  # L of (B, H, T, T)


class BertEmbeddings(nn.Module):
    """Sum of token, position and segment vectors, normalised.

    Source: Devlin et al. 2019, figure 2; LayerNorm and dropout after the sum are in the
    authors' code only.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.token = nn.Embedding(
            config.vocab_size, config.d_model, padding_idx=config.pad_id
        )
        self.segment = nn.Embedding(config.num_segments, config.d_model)
        self.positions = LearnedPositions(config.d_model, max_len=config.max_len)
        self.norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor, segments: Tensor | None = None) -> Tensor:
        """Turn `(B, T)` ids, and segment ids if there are two, into `(B, T, D)`."""
        # Without segment ids every token belongs to segment 0: one row, broadcast.
        segment = self.segment.weight[0] if segments is None else self.segment(segments)
        return self.dropout(self.norm(self.positions(self.token(ids) + segment)))


class Bert(nn.Module):
    """The BERT encoder: token ids in, one context-dependent vector a token out.

    Args:
        config: Sizes; see `BertConfig`.

    Source: Devlin et al. 2019, section 3. Matrices start normal with standard deviation
    `init_std`, biases zero, as in the authors' code (which truncates the normal at two
    standard deviations; we do not).

    Example:
        >>> model = Bert(MINILM_L6).eval()
        >>> model(torch.tensor([[101, 7592, 102]])).last_hidden.shape
        torch.Size([1, 3, 384])
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = BertEmbeddings(config)
        self.blocks = nn.ModuleList(
            EncoderBlock(
                config.d_model,
                config.num_heads,
                config.d_ff,
                dropout=config.dropout,
                attention_dropout=config.attention_dropout,
                activation=F.gelu,
                norm_eps=config.norm_eps,
            )
            for _ in range(config.num_layers)
        )
        self.pooler = nn.Linear(config.d_model, config.d_model)
        self.apply(self._init_weights)

    def forward(
        self,
        ids: Tensor,
        segments: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        need_hidden: bool = False,
        need_weights: bool = False,
    ) -> BertOutput:
        """Encode a batch of token ids.

        Args:
            ids: `(B, T)` integers in `[0, vocab_size)`.
            segments: `(B, T)` integers in `[0, num_segments)`; all 0 if None.
            mask: `(B, T)` booleans, True = a real token, False = padding; all True if
                None.
            need_hidden: Also return the hidden states of all layers.
            need_weights: Also return the attention weights of all layers; slower.

        Returns:
            A `BertOutput`. Vectors at padded positions are computed but mean nothing.

        Raises:
            TypeError: `ids` or `segments` are not integers, or `mask` is not boolean.
            ValueError: An empty batch, a sequence longer than `max_len`, shapes that
                differ, or an id out of range. (Ranges are checked on the CPU only: on a
                GPU the check would stop the pipeline, and the device's own assertion
                fires instead.)
        """
        self._check_inputs(ids, segments, mask)
        key_mask = None if mask is None else mask[:, None, None, :]  # (B, 1, 1, T)
        x = self.embeddings(ids, segments)
        hidden_states, attention_weights = [x], []
        for block in self.blocks:
            x, weights = block(x, mask=key_mask, need_weights=need_weights)
            if need_hidden:
                hidden_states.append(x)
            attention_weights.append(weights)
        return BertOutput(
            last_hidden=x,
            pooled=self.pooler(x[:, 0]).tanh(),
            hidden_states=tuple(hidden_states) if need_hidden else None,
            attention_weights=tuple(attention_weights) if need_weights else None,
        )

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=self.config.init_std)
        elif isinstance(module, LearnedPositions):
            nn.init.normal_(module.table, std=self.config.init_std)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            nn.init.zeros_(module.weight[module.padding_idx])

    def _check_inputs(
        self, ids: Tensor, segments: Tensor | None, mask: Tensor | None
    ) -> None:
        config = self.config
        if ids.dim() != 2 or ids.numel() == 0:
            raise ValueError(
                f"ids must be (B, T) with at least one token: got {tuple(ids.shape)}"
            )
        if ids.size(1) > config.max_len:
            raise ValueError(
                f"sequences must have at most max_len={config.max_len} tokens: "
                f"got {ids.size(1)}"
            )
        _check_ids("ids", ids, ids.shape, config.vocab_size)
        if segments is not None:
            _check_ids("segments", segments, ids.shape, config.num_segments)
        if mask is not None and mask.dtype != torch.bool:
            raise TypeError(
                f"mask must be boolean, True = a real token: got {mask.dtype}"
            )
        if mask is not None and mask.shape != ids.shape:
            raise ValueError(
                f"mask must have the shape of ids, {tuple(ids.shape)}: "
                f"got {tuple(mask.shape)}"
            )


def _check_ids(name: str, ids: Tensor, shape: torch.Size, size: int) -> None:
    if ids.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"{name} must be int64 or int32: got {ids.dtype}")
    if ids.shape != shape:
        raise ValueError(
            f"{name} must have the shape of ids, {tuple(shape)}: got {tuple(ids.shape)}"
        )
    if ids.device.type == "cpu" and not torch.compiler.is_compiling():
        low, high = ids.min().item(), ids.max().item()
        if low < 0 or high >= size:
            raise ValueError(
                f"{name} must be in [0, {size}): got values from {low} to {high}"
            )
