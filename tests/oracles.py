"""How the tests compare with PyTorch and Transformers: one measure, and weights copied across."""

import torch
from torch import Tensor, nn

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, relative to the largest magnitude of the oracle."""
    assert ours.shape == theirs.shape
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def copy_attention(ours: nn.Module, theirs: nn.MultiheadAttention) -> None:
    """Give PyTorch's module the weights of ours."""
    projections = (ours.q_proj, ours.k_proj, ours.v_proj)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
        theirs.out_proj.weight.copy_(ours.out_proj.weight)
        if ours.q_proj.bias is not None:
            theirs.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
            theirs.out_proj.bias.copy_(ours.out_proj.bias)


def packed_gradients(ours: nn.Module) -> dict[str, Tensor]:
    """Our projections' gradients, packed and named like those of `nn.MultiheadAttention`.

    Packed, because the key bias has a true gradient of zero (it shifts all scores of a query alike): on its
    own there is only rounding to compare.
    """
    projections = (ours.q_proj, ours.k_proj, ours.v_proj)
    packed = {
        "in_proj_weight": torch.cat([p.weight.grad for p in projections]),
        "out_proj.weight": ours.out_proj.weight.grad,
    }
    if ours.q_proj.bias is not None:
        packed["in_proj_bias"] = torch.cat([p.bias.grad for p in projections])
        packed["out_proj.bias"] = ours.out_proj.bias.grad
    return packed
