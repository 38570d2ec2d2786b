"""companion.attention: oracles, properties, a case by hand, errors, and every way it may be run."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import TOLERANCE, copy_attention, packed_gradients, relative_error
from torch import nn

from companion.attention import MultiHeadAttention, attention_weights, scaled_dot_product_attention

# Distinct primes, so that a swapped axis cannot pass.
B, T, S, H, K = 2, 5, 7, 3, 11
D = H * K
DTYPES = [torch.float32, torch.float64]


def random_mask(*shape):
    """A random mask in which every query may look at something."""
    mask = torch.rand(shape) < 0.6
    mask[..., 0] = True
    return mask


def qkv(dtype=torch.float32, device="cpu"):
    shapes = (B, H, T, K), (B, H, S, K), (B, H, S, K)
    return [torch.randn(s, dtype=dtype, device=device, requires_grad=True) for s in shapes]


# --- the functions ---


def test_hand_computed():
    # Scores are (ln 3, 0) after scaling by 1/sqrt(1), so the weights are 3/4 and 1/4.
    query, key = torch.tensor([[1.0]]), torch.tensor([[math.log(3)], [0.0]])
    value = torch.tensor([[4.0, 0.0], [0.0, 8.0]])
    torch.testing.assert_close(attention_weights(query, key), torch.tensor([[0.75, 0.25]]))
    torch.testing.assert_close(scaled_dot_product_attention(query, key, value), torch.tensor([[3.0, 2.0]]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("masked", [False, True])
def test_fused_and_explicit_agree(dtype, masked, device):
    mask = random_mask(B, 1, T, S).to(device) if masked else None
    q, k, v = qkv(dtype, device)
    explicit = attention_weights(q, k, mask) @ v
    expected = torch.autograd.grad(explicit.square().sum(), (q, k, v))
    fused = scaled_dot_product_attention(q, k, v, mask)
    found = torch.autograd.grad(fused.square().sum(), (q, k, v))
    assert relative_error(fused, explicit) <= TOLERANCE[dtype]
    for ours, theirs in zip(found, expected, strict=True):
        assert relative_error(ours, theirs) <= TOLERANCE[dtype]


def test_scale_is_a_factor_on_the_scores():
    q, k, v = qkv()
    expected = torch.softmax(q @ k.mT * 0.3, -1)
    torch.testing.assert_close(attention_weights(q, k, scale=0.3), expected)
    torch.testing.assert_close(scaled_dot_product_attention(q, k, v, scale=0.3), expected @ v)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_blind_queries_get_zeros_and_no_gradient_is_nan(dtype, device):
    mask = torch.zeros(B, 1, T, S, dtype=torch.bool, device=device)
    mask[:, :, 1] = True  # only query 1 may look
    for function in (scaled_dot_product_attention, lambda q, k, v, m: attention_weights(q, k, m) @ v):
        q, k, v = qkv(dtype, device)
        output = function(q, k, v, mask)
        assert (output[:, :, [0, 2, 3, 4]] == 0).all()
        assert (output[:, :, 1] != 0).all()
        output.float().square().sum().backward()
        assert all(x.grad.isfinite().all() for x in (q, k, v))
        assert (q.grad[:, :, 0] == 0).all()


def test_a_masked_key_does_not_matter_at_all():
    q, k, v = qkv()
    mask = random_mask(1, 1, T, S)
    mask[..., 3] = False
    before = scaled_dot_product_attention(q, k, v, mask)
    with torch.no_grad():
        k[:, :, 3], v[:, :, 3] = 1e4, -1e4
    assert torch.equal(scaled_dot_product_attention(q, k, v, mask), before)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
def test_each_output_is_an_average_of_the_values(t, s, k_width, seed):
    g = torch.Generator().manual_seed(seed)
    query, key = (torch.randn(n, k_width, generator=g, dtype=torch.float64) for n in (t, s))
    value = torch.randn(s, 4, generator=g, dtype=torch.float64)
    weights = attention_weights(query, key)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(t, dtype=torch.float64))
    output = scaled_dot_product_attention(query, key, value)
    assert (output <= value.max(0).values + 1e-12).all()
    assert (output >= value.min(0).values - 1e-12).all()


def test_dropout_drops_weights_after_the_softmax():
    # With constant values a dropped weight shows as a missing share; dropout before softmax never could.
    q, k, _ = qkv()
    ones = torch.ones(B, H, S, 1)
    output = scaled_dot_product_attention(q, k, ones, dropout_p=0.5)
    assert output.std() > 0.1
    torch.testing.assert_close(scaled_dot_product_attention(q, k, ones), torch.ones(B, H, T, 1))


@pytest.mark.parametrize(
    "function", [attention_weights, lambda q, k, m: scaled_dot_product_attention(q, k, k, m)]
)
def test_mask_errors(function):
    q, k, _ = qkv()
    with pytest.raises(TypeError, match=r"mask must be boolean, True = may look: got torch\.float32"):
        function(q, k, torch.ones(T, S))
    with pytest.raises(ValueError, match=r"mask must broadcast to \(2, 3, 5, 7\): got \(7, 5\)"):
        function(q, k, torch.ones(S, T, dtype=torch.bool))


# --- the module ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", ["self", "cross", "masked", "no bias"])
@pytest.mark.parametrize("need_weights", [False, True])
def test_agrees_with_pytorch(dtype, case, need_weights, device):
    ours = MultiHeadAttention(D, H, bias=case != "no bias").to(device, dtype)
    theirs = nn.MultiheadAttention(D, H, bias=case != "no bias", batch_first=True).to(device, dtype)
    if case != "no bias":
        for bias in (ours.q_proj.bias, ours.k_proj.bias, ours.v_proj.bias, ours.out_proj.bias):
            nn.init.normal_(bias)
    copy_attention(ours, theirs)
    query = torch.randn(B, T, D, device=device, dtype=dtype)
    memory = query if case == "self" else torch.randn(B, S, D, device=device, dtype=dtype)
    mask = random_mask(B, H, T, memory.size(1)).to(device) if case == "masked" else None
    inputs = [[x.clone().requires_grad_() for x in (query, memory)] for _ in range(2)]
    target = torch.randn(B, T, D, device=device, dtype=dtype)

    output, weights = ours(*inputs[0], mask=mask, need_weights=need_weights)
    # PyTorch's True means "may not look", and its heads sit in the batch axis.
    attn_mask = None if mask is None else ~mask.flatten(0, 1)
    x, m = inputs[1]
    expected, expected_weights = theirs(
        x, m, m, attn_mask=attn_mask, need_weights=need_weights, average_attn_weights=False
    )
    for o in (output, expected):
        (o - target).square().mean().backward()
    assert relative_error(output, expected) <= TOLERANCE[dtype]
    if need_weights:
        assert relative_error(weights, expected_weights) <= TOLERANCE[dtype]
    else:
        assert weights is None
    for a, b in zip(*inputs, strict=True):
        assert relative_error(a.grad, b.grad) <= TOLERANCE[dtype]
    gradients = packed_gradients(ours)
    assert gradients.keys() == dict(theirs.named_parameters()).keys()
    for name, parameter in theirs.named_parameters():
        assert relative_error(gradients[name], parameter.grad) <= TOLERANCE[dtype], name


def test_need_weights_does_not_change_the_output(device):
    attention = MultiHeadAttention(D, H).to(device)
    x = torch.randn(B, T, D, device=device)
    mask = random_mask(B, 1, T, T).to(device)
    mask[0, 0, 2] = False  # one blind query
    fused, explicit = attention(x, mask=mask)[0], attention(x, mask=mask, need_weights=True)[0]
    assert relative_error(fused, explicit) <= 1e-6


def test_key_defaults_to_query_and_value_to_key():
    attention = MultiHeadAttention(D, H)
    x, memory = torch.randn(B, T, D), torch.randn(B, S, D)
    assert torch.equal(attention(x)[0], attention(x, x, x)[0])
    assert torch.equal(attention(x, memory)[0], attention(x, memory, memory)[0])


def test_value_may_differ_from_key():
    attention = MultiHeadAttention(D, H)
    x, key, value = torch.randn(B, T, D), torch.randn(B, S, D), torch.randn(B, S, D)
    change = attention(x, key, value + 1)[0] - attention(x, key, value)[0]
    assert change.abs().min() > 1e-4


def test_keys_are_a_set_and_queries_are_independent():
    attention = MultiHeadAttention(D, H).double()
    x, memory = torch.randn(B, T, D).double(), torch.randn(B, S, D).double()
    output = attention(x, memory)[0]
    torch.testing.assert_close(attention(x, memory[:, torch.randperm(S)])[0], output)
    order = torch.randperm(T)
    torch.testing.assert_close(attention(x[:, order], memory)[0], output[:, order])


def test_examples_do_not_see_each_other():
    attention = MultiHeadAttention(D, H)
    x = torch.randn(B, T, D)
    changed = x.clone()
    changed[1] += 1
    assert torch.equal(attention(x)[0][0], attention(changed)[0][0])


def test_padded_equals_trimmed():
    attention = MultiHeadAttention(D, H).double()
    x, memory = torch.randn(B, T, D).double(), torch.randn(B, S, D).double()
    mask = (torch.arange(S) < 4).view(1, 1, 1, S)
    torch.testing.assert_close(attention(x, memory, mask=mask)[0], attention(x, memory[:, :4])[0])


def test_causal_pass_equals_all_prefix_passes():
    attention = MultiHeadAttention(D, H).double()
    x = torch.randn(B, T, D).double()
    causal = torch.ones(1, 1, T, T, dtype=torch.bool).tril()
    whole = attention(x, mask=causal)[0]
    for t in range(1, T + 1):
        torch.testing.assert_close(whole[:, t - 1], attention(x[:, :t])[0][:, -1])


def test_dropout_acts_only_in_training_and_on_both_paths():
    attention = MultiHeadAttention(D, H, dropout=0.5)
    x = torch.randn(B, T, D)
    for need_weights in (False, True):
        first, second = (attention.train()(x, need_weights=need_weights)[0] for _ in range(2))
        assert not torch.allclose(first, second)
        first, second = (attention.eval()(x, need_weights=need_weights)[0] for _ in range(2))
        assert torch.equal(first, second)


def test_dropout_leaves_the_returned_weights_whole():
    attention = MultiHeadAttention(D, H, dropout=0.5)
    weights = attention(torch.randn(B, T, D), need_weights=True)[1]
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, T))


def test_every_parameter_matters():
    attention = MultiHeadAttention(D, H).double()
    attention(torch.randn(B, T, D).double(), torch.randn(B, S, D).double())[0].square().sum().backward()
    for name, parameter in attention.named_parameters():
        if name == "k_proj.bias":  # shifts all scores of a query alike: its true gradient is zero
            assert parameter.grad.abs().max() < 1e-12
        else:
            assert parameter.grad.abs().min() > 0, name


def test_one_batch_overfits():
    attention = MultiHeadAttention(D, H)
    x, target = torch.randn(B, T, D), torch.randn(B, T, D)
    optimizer = torch.optim.Adam(attention.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        loss = (attention(x)[0] - target).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-3


@pytest.mark.parametrize("need_weights", [False, True])
def test_meta_device(need_weights):
    attention = MultiHeadAttention(D, H, dropout=0.1).to("meta")
    mask = torch.ones(B, 1, T, S, dtype=torch.bool, device="meta")
    x, memory = torch.empty(B, T, D, device="meta"), torch.empty(B, S, D, device="meta")
    output, weights = attention(x, memory, mask=mask, need_weights=need_weights)
    assert output.shape == (B, T, D)
    assert (weights.shape == (B, H, T, S)) if need_weights else weights is None


@pytest.mark.parametrize("need_weights", [False, True])
def test_bfloat16_autocast(need_weights, device):
    attention = MultiHeadAttention(D, H).to(device)
    x, mask = torch.randn(B, T, D, device=device), random_mask(B, 1, T, T).to(device)
    exact = attention(x, mask=mask)[0]
    with torch.autocast(device.type, torch.bfloat16):
        output = attention(x, mask=mask, need_weights=need_weights)[0]
    assert output.dtype == torch.bfloat16
    assert relative_error(output.float(), exact) < 0.03  # bfloat16 has 8 bits of precision
    output.float().sum().backward()
    assert attention.q_proj.weight.grad.isfinite().all()


@pytest.mark.parametrize("need_weights", [False, True])
def test_compiles_to_one_graph(need_weights, device):
    attention = MultiHeadAttention(D, H).to(device)
    # "aot_eager" traces forward and backward like the default compiler, without needing a C++ compiler.
    compiled = torch.compile(attention, fullgraph=True, backend="aot_eager")
    x, mask = torch.randn(B, T, D, device=device), random_mask(B, 1, T, T).to(device)
    output, weights = compiled(x, mask=mask, need_weights=need_weights)
    expected, expected_weights = attention(x, mask=mask, need_weights=need_weights)
    torch.testing.assert_close(output, expected)
    if need_weights:
        torch.testing.assert_close(weights, expected_weights)


def test_single_token_and_single_example():
    attention = MultiHeadAttention(D, H)
    x = torch.randn(1, 1, D)
    expected = attention.out_proj(attention.v_proj(x))  # one key: its weight is 1
    torch.testing.assert_close(attention(x)[0], expected)


def test_repr_tells_what_no_submodule_shows():
    assert "num_heads=3, dropout=0.1" in repr(MultiHeadAttention(D, H, dropout=0.1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((512, 6), "d_model must be divisible by num_heads: got d_model=512, num_heads=6"),
        ((512, 0), "d_model must be divisible by num_heads: got d_model=512, num_heads=0"),
    ],
)
def test_sizes_that_do_not_divide(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(*arguments)


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropout_out_of_range(dropout):
    with pytest.raises(ValueError, match=rf"dropout must be a probability in \[0, 1\): got {dropout}"):
        MultiHeadAttention(D, H, dropout=dropout)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(T, D)], r"query must be \(B, length, 33\): got \(5, 33\)"),
        ([(B, T, D), (B, S, D + 1)], r"key must be \(B, length, 33\): got \(2, 7, 34\)"),
        ([(B, T, D), (B + 1, S, D)], "query, key and value must share the batch size: got 2, 3 and 3"),
        ([(B, T, D), (B, S, D), (B, S + 1, D)], "key and value must share their length: got 7 and 8"),
        # The same number of elements in another arrangement must not be mixed silently.
        ([(2, 6, D), (4, 3, D)], "query, key and value must share the batch size: got 2, 4 and 4"),
    ],
)
def test_inputs_that_do_not_fit(shapes, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(D, H)(*(torch.randn(s) for s in shapes))


@pytest.mark.parametrize("shape", [(T, S), (B, S), (B, T, S), (B, H, S, T), (B, 2, T, S)])
def test_masks_with_the_wrong_axes(shape):
    attention = MultiHeadAttention(D, H)
    with pytest.raises(ValueError, match=r"mask must be \(2, 3, 5, 7\), any axis 1: got "):
        attention(torch.randn(B, T, D), torch.randn(B, S, D), mask=torch.ones(shape, dtype=torch.bool))


def test_mask_of_the_wrong_type():
    with pytest.raises(TypeError, match=r"mask must be boolean, True = may look: got torch\.float32"):
        MultiHeadAttention(D, H)(torch.randn(B, T, D), mask=F.pad(torch.ones(1, 1, T, T - 1), (1, 0)))
