"""companion.bert: configuration, structure, properties, errors. Parity on real weights: test_pretrained."""

import dataclasses

import pytest
import torch
from oracles import relative_error
from torch import nn

from companion.bert import BERT_BASE, BERT_LARGE, MINILM_L6, Bert, BertConfig

B, T = 3, 7
SMALL = BertConfig(vocab_size=101, d_model=22, num_layers=3, num_heads=2, d_ff=41, max_len=13, num_segments=2)


def small_bert(**changes):
    """A small BERT with matrices large enough for every input to show in the output."""
    model = Bert(dataclasses.replace(SMALL, init_std=0.2, **changes)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return model


def random_ids(batch=B, length=T):
    return torch.randint(1, SMALL.vocab_size, (batch, length))


@pytest.mark.parametrize(("config", "millions"), [(BERT_BASE, 109.5), (BERT_LARGE, 335.1), (MINILM_L6, 22.7)])
def test_published_parameter_counts(config, millions):
    # Counted from transformers.BertModel with the same numbers; the paper rounds to 110M and 340M.
    with torch.device("meta"):
        model = Bert(config)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == millions


def test_config_is_frozen_and_keyword_only():
    with pytest.raises(dataclasses.FrozenInstanceError):
        BERT_BASE.d_model = 1
    with pytest.raises(TypeError):
        BertConfig(30_522)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be at least 1: got 0"),
        ({"num_layers": -1}, "num_layers must be at least 1: got -1"),
        ({"d_model": 23}, "d_model must be divisible by num_heads: got d_model=23, num_heads=2"),
        ({"dropout": 1.0}, r"dropout must be a probability in \[0, 1\): got 1.0"),
        ({"attention_dropout": -0.1}, r"attention_dropout must be a probability in \[0, 1\): got -0.1"),
        ({"pad_id": 101}, r"pad_id must be in \[0, vocab_size=101\): got 101"),
    ],
)
def test_config_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **changes)


def test_shapes_of_everything_it_returns():
    output = small_bert()(random_ids(), need_hidden=True, need_weights=True)
    assert output.last_hidden.shape == (B, T, 22)
    assert output.pooled.shape == (B, 22)
    assert [h.shape for h in output.hidden_states] == [(B, T, 22)] * 4
    assert [w.shape for w in output.attention_weights] == [(B, 2, T, T)] * 3
    assert torch.equal(output.hidden_states[-1], output.last_hidden)
    plain = small_bert()(random_ids())
    assert plain.hidden_states is None
    assert plain.attention_weights is None


def test_pooled_is_bounded_and_sees_the_whole_sentence():
    model, ids = small_bert(), random_ids()
    changed = ids.clone()
    changed[:, -1] = ids[:, -1] % 100 + 1
    assert model(ids).pooled.abs().max() <= 1
    assert (model(ids).pooled - model(changed).pooled).abs().max(-1).values.min() > 1e-3


def test_segments_default_to_zero_and_matter():
    model, ids = small_bert(), random_ids()
    zeros = torch.zeros_like(ids)
    torch.testing.assert_close(model(ids).last_hidden, model(ids, zeros).last_hidden)
    assert (model(ids).last_hidden - model(ids, zeros + 1).last_hidden).abs().max() > 1e-2


def test_order_matters():
    model, ids = small_bert(), torch.arange(1, T + 1)[None]
    order = torch.tensor([0, 2, 1, 3, 4, 5, 6])
    assert (model(ids).pooled - model(ids[:, order]).pooled).abs().max() > 1e-3


def test_padded_equals_trimmed_and_padding_does_not_matter():
    model, ids = small_bert().double(), random_ids()
    mask = torch.arange(T) < torch.tensor([[7], [4], [5]])
    padded = model(ids, mask=mask)
    for i, n in enumerate((7, 4, 5)):
        alone = model(ids[i : i + 1, :n])
        torch.testing.assert_close(padded.last_hidden[i, :n], alone.last_hidden[0])
        torch.testing.assert_close(padded.pooled[i], alone.pooled[0])
    other = torch.where(mask, ids, ids % 100 + 1)
    assert torch.equal(model(other, mask=mask).last_hidden[mask], padded.last_hidden[mask])


def test_examples_do_not_see_each_other():
    model, ids = small_bert(), random_ids()
    changed = ids.clone()
    changed[1] = random_ids(1)[0]
    assert torch.equal(model(ids).last_hidden[[0, 2]], model(changed).last_hidden[[0, 2]])


def test_a_sentence_of_padding_alone_is_finite(device):
    ids = random_ids().to(device)
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[1] = False
    assert small_bert().to(device)(ids, mask=mask).last_hidden.isfinite().all()


def test_initial_weights_follow_the_config():
    model = Bert(dataclasses.replace(SMALL, d_model=202, d_ff=401, init_std=0.03))
    for name, parameter in model.named_parameters():
        if "norm" in name:
            assert torch.equal(parameter, torch.full_like(parameter, float(name.endswith("weight")))), name
        elif name.endswith("bias"):
            assert (parameter == 0).all(), name
        elif "segment" not in name:  # two rows are too few for a standard deviation
            assert 0.028 < parameter.std() < 0.032, name
    assert (model.embeddings.token.weight[SMALL.pad_id] == 0).all()


def test_dropout_in_training_only():
    model, ids = small_bert(dropout=0.3, attention_dropout=0.3), random_ids()
    assert torch.equal(model(ids).last_hidden, model(ids).last_hidden)
    model.train()
    assert not torch.allclose(model(ids).last_hidden, model(ids).last_hidden)


def test_attention_dropout_alone_reaches_the_attention():
    model, ids = small_bert(dropout=0.0, attention_dropout=0.3).train(), random_ids()
    assert not torch.allclose(model(ids).last_hidden, model(ids).last_hidden)


def test_one_batch_overfits():
    model = Bert(dataclasses.replace(SMALL, dropout=0.0, attention_dropout=0.0))
    head = nn.Linear(22, 3)
    ids, labels = random_ids(), torch.tensor([0, 1, 2])
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(head(model(ids).pooled), labels)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01


def test_other_ways_to_run(device):
    model, ids = small_bert().to(device), random_ids().to(device)
    mask = (torch.arange(T) < torch.tensor([[7], [4], [5]])).to(device)
    exact = model(ids, mask=mask).last_hidden
    with torch.autocast(device.type, torch.bfloat16):
        assert relative_error(model(ids, mask=mask).last_hidden.float()[mask], exact[mask]) < 0.05
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(ids, mask=mask).last_hidden, exact)
    assert model.double()(ids).pooled.dtype == torch.float64
    assert model.to("meta")(ids.to("meta")).pooled.shape == (B, 22)


ONES = torch.ones(B, T, dtype=torch.long)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"ids": ONES[0]}, ValueError, r"ids must be \(B, T\) with at least one token: got \(7,\)"),
        ({"ids": ONES[:0]}, ValueError, r"ids must be \(B, T\) with at least one token: got \(0, 7\)"),
        ({"ids": ONES[:, :0]}, ValueError, r"ids must be \(B, T\) with at least one token: got \(3, 0\)"),
        ({"ids": ONES.repeat(1, 2)}, ValueError, "sequences must have at most max_len=13 tokens: got 14"),
        ({"ids": ONES.float()}, TypeError, r"ids must be int64 or int32: got torch\.float32"),
        ({"ids": ONES * 101}, ValueError, r"ids must be in \[0, 101\): got values from 101 to 101"),
        ({"ids": -ONES}, ValueError, r"ids must be in \[0, 101\): got values from -1 to -1"),
        ({"ids": ONES, "segments": ONES * 2}, ValueError, r"segments must be in \[0, 2\): got .* 2 to 2"),
        (
            {"ids": ONES, "segments": ONES[:, 1:]},
            ValueError,
            r"segments must have the shape of ids, \(3, 7\): got \(3, 6\)",
        ),
        (
            {"ids": ONES, "segments": ONES.bool()},
            TypeError,
            r"segments must be int64 or int32: got torch\.bool",
        ),
        (
            {"ids": ONES, "mask": ONES},
            TypeError,
            r"mask must be boolean, True = a real token: got torch\.int64",
        ),
        (
            {"ids": ONES, "mask": ONES[:, None, None].bool()},
            ValueError,
            r"mask must have the shape of ids, \(3, 7\): got \(3, 1, 1, 7\)",
        ),
    ],
)
def test_bad_inputs(arguments, error, message):
    with pytest.raises(error, match=message):
        small_bert()(**arguments)
