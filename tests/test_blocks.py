"""companion.blocks: parity with nn.TransformerEncoderLayer, properties, errors."""

import pytest
import torch
import torch.nn.functional as F
from oracles import TOLERANCE, copy_attention, packed_gradients, relative_error
from torch import nn

from companion.blocks import EncoderBlock, FeedForward

B, T, H, K = 2, 5, 3, 11
D, D_FF = H * K, 41
PAIRS = (  # our submodule, theirs
    ("feed_forward.up_proj", "linear1"),
    ("feed_forward.down_proj", "linear2"),
    ("attention_norm", "norm1"),
    ("feed_forward_norm", "norm2"),
)


def with_random_biases(module):
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", [F.relu, F.gelu])
def test_agrees_with_pytorch(dtype, norm_first, activation, device):
    ours = EncoderBlock(D, H, D_FF, dropout=0.0, activation=activation, norm_first=norm_first)
    ours = with_random_biases(ours).to(device, dtype)
    theirs = nn.TransformerEncoderLayer(
        D, H, D_FF, dropout=0.0, activation=activation, norm_first=norm_first, batch_first=True
    ).to(device, dtype)
    copy_attention(ours.attention, theirs.self_attn)
    for a, b in PAIRS:
        theirs.get_submodule(b).load_state_dict(ours.get_submodule(a).state_dict())
    x, y = (torch.randn(B, T, D, device=device, dtype=dtype).requires_grad_() for _ in range(2))
    y.data.copy_(x)
    padding = torch.tensor([5, 3], device=device)[:, None] <= torch.arange(T, device=device)
    output = ours(x, mask=~padding[:, None, None, :])[0]
    expected = theirs(y, src_key_padding_mask=padding)
    target = torch.randn(B, T, D, device=device, dtype=dtype)
    for o in (output, expected):
        (o - target).square().mean().backward()
    assert relative_error(output, expected) <= TOLERANCE[dtype]
    assert relative_error(x.grad, y.grad) <= TOLERANCE[dtype]
    gradients = {f"self_attn.{name}": g for name, g in packed_gradients(ours.attention).items()}
    for a, b in PAIRS:
        gradients |= {f"{b}.{n}": p.grad for n, p in ours.get_submodule(a).named_parameters()}
    assert gradients.keys() == dict(theirs.named_parameters()).keys()
    for name, parameter in theirs.named_parameters():
        assert relative_error(gradients[name], parameter.grad) <= TOLERANCE[dtype], name


def test_feed_forward_by_hand():
    feed_forward = FeedForward(1, 2)
    with torch.no_grad():
        feed_forward.up_proj.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        feed_forward.up_proj.bias.zero_()
        feed_forward.down_proj.weight.copy_(torch.tensor([[1.0, 1.0]]))
        feed_forward.down_proj.bias.fill_(0.5)
    # relu(x) + relu(-x) is |x|: a non-linearity between, no dropout, no residual.
    torch.testing.assert_close(feed_forward(torch.tensor([[-3.0], [2.0]])), torch.tensor([[3.5], [2.5]]))


@pytest.mark.parametrize("norm_first", [False, True])
def test_silent_sublayers_leave_the_input(norm_first):
    block = EncoderBlock(D, H, D_FF, norm_first=norm_first).eval()
    for projection in (block.attention.out_proj, block.feed_forward.down_proj):
        nn.init.zeros_(projection.weight)
        nn.init.zeros_(projection.bias)
    x = torch.randn(B, T, D)
    expected = x if norm_first else F.layer_norm(F.layer_norm(x, (D,)), (D,))
    torch.testing.assert_close(block(x)[0], expected)


def test_post_norm_output_is_normalised():
    output = EncoderBlock(D, H, D_FF).eval()(100 * torch.randn(B, T, D))[0]
    torch.testing.assert_close(output.mean(-1), torch.zeros(B, T), atol=1e-5, rtol=0)
    torch.testing.assert_close(output.var(-1, correction=0), torch.ones(B, T), atol=1e-4, rtol=0)


@pytest.mark.parametrize("sub_layer", ["attention.out_proj", "feed_forward.down_proj"])
def test_dropout_is_on_the_sublayers_output(sub_layer):
    # A sub-layer that answers 1 everywhere: after dropout a share p of the residual's additions is missing.
    block = EncoderBlock(D, H, D_FF, dropout=0.25, norm_first=True)
    for name in ("attention.out_proj", "feed_forward.down_proj"):
        projection = block.get_submodule(name)
        nn.init.zeros_(projection.weight)
        nn.init.constant_(projection.bias, float(name == sub_layer))
    x = torch.randn(20, 50, D)
    added = block(x)[0] - x
    assert abs((added.abs() < 1e-6).float().mean().item() - 0.25) < 0.01
    assert torch.equal(block.eval()(x)[0], block(x)[0])


def test_norm_epsilon_reaches_both_norms():
    block = EncoderBlock(D, H, D_FF, norm_eps=1e-3)
    assert block.attention_norm.eps == block.feed_forward_norm.eps == 1e-3


def test_weights_on_request():
    block, x = EncoderBlock(D, H, D_FF).eval(), torch.randn(B, T, D)
    output, weights = block(x, need_weights=True)
    assert weights.shape == (B, H, T, T)
    plain, nothing = block(x)
    assert nothing is None
    torch.testing.assert_close(output, plain)


def test_examples_do_not_see_each_other():
    block, x = EncoderBlock(D, H, D_FF).eval(), torch.randn(B, T, D)
    changed = x.clone()
    changed[1] += torch.randn(T, D)
    assert torch.equal(block(x)[0][0], block(changed)[0][0])


def test_other_ways_to_run(device):
    block = EncoderBlock(D, H, D_FF).eval().to(device)
    x = torch.randn(B, T, D, device=device)
    exact = block(x)[0]
    with torch.autocast(device.type, torch.bfloat16):
        assert relative_error(block(x)[0].float(), exact) < 0.03
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x)[0], exact)
    assert block.to("meta")(torch.empty(B, T, D, device="meta"))[0].shape == (B, T, D)


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropout_out_of_range(dropout):
    with pytest.raises(ValueError, match=rf"dropout must be a probability in \[0, 1\): got {dropout}"):
        EncoderBlock(D, H, D_FF, dropout=dropout)
