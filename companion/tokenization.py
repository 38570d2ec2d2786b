"""Text to ids and back with a published WordPiece vocabulary. Copy this file alone.

Needs torch and Hugging Face's `tokenizers`. Shapes: `B` texts, `T` tokens of the
longest one.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers import decoders as token_decoders
from tokenizers.models import WordPiece
from torch import Tensor

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Batch(NamedTuple):
    """Encoded texts, padded to the longest; `model(*batch)` is the call."""

    ids: Tensor  # (B, T) int64
    segments: Tensor  # (B, T) int64: 1 in the second text of a pair, 0 elsewhere
    mask: Tensor  # (B, T) bool: True = a real token

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return Batch(*(x.to(device) for x in self))


class WordPieceTokenizer:
    """BERT's tokenizer: normalise, split into words, then longest pieces first.

    Args:
        vocab: Path of a `vocab.txt`: one piece a line, its line number (from 0) its id.
        lowercase: Lower-case and strip accents, as the uncased models expect.
        max_len: Longest sequence in tokens, special tokens included.

    Raises:
        FileNotFoundError: There is no file at `vocab`.
        ValueError: The file is not a WordPiece vocabulary: a special token missing, or
            a piece twice.

    Source: Devlin et al. 2019, section 3; Wu et al. 2016, section 4.1.

    Example:
        >>> from companion.pretrained import load_tokenizer
        >>> tokenizer = load_tokenizer()
        >>> tokenizer.tokens("Unaffable tokenizers")
        ['una', '##ffa', '##ble', 'token', '##izer', '##s']
    """

    def __init__(
        self,
        vocab: str | os.PathLike[str],
        *,
        lowercase: bool = True,
        max_len: int = 512,
    ) -> None:
        path = Path(vocab)
        if not path.is_file():
            raise FileNotFoundError(f"vocabulary file not found: {path}")
        # Not splitlines(): the published vocabularies hold characters that it takes for
        # line ends.
        pieces = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        self.vocab = {piece: i for i, piece in enumerate(pieces)}
        if len(self.vocab) != len(pieces):
            raise ValueError(
                f"a vocabulary must list each piece once: {path} repeats some"
            )
        if missing := [token for token in SPECIAL_TOKENS if token not in self.vocab]:
            raise ValueError(
                f"a BERT vocabulary must contain {', '.join(missing)}: {path} does not"
            )
        self.lowercase = lowercase
        self.max_len = max_len
        self.pad_id = self.vocab["[PAD]"]
        self._pieces = pieces
        self._tokenizer = _build(self.vocab, lowercase)

    def __len__(self) -> int:
        """Number of pieces in the vocabulary."""
        return len(self.vocab)

    def __call__(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        truncate: bool = False,
    ) -> Batch:
        """Encode texts, or pairs of texts, as one padded batch.

        Args:
            texts: At least one string.
            pairs: A second text for each of `texts`, or None.
            truncate: Cut what is longer than `max_len` (from the longer text of a pair)
                instead of refusing.

        Returns:
            `[CLS] text [SEP]` or `[CLS] text [SEP] pair [SEP]` as ids, segments and
            mask, each `(B, T)`.

        Raises:
            TypeError: `texts` or `pairs` is one string, or holds something that is not
                a string.
            ValueError: No text, as many pairs as not texts, or a text longer than
                `max_len` tokens.
        """
        texts = _check_texts("texts", texts)
        inputs = texts
        if pairs is not None:
            pairs = _check_texts("pairs", pairs)
            if len(texts) != len(pairs):
                raise ValueError(
                    "texts and pairs must be equally many: "
                    f"got {len(texts)} and {len(pairs)}"
                )
            inputs = list(zip(texts, pairs, strict=True))
        encoded = self._tokenizer.encode_batch(inputs)
        too_long = [i for i, e in enumerate(encoded) if len(e) > self.max_len]
        if too_long and not truncate:
            raise ValueError(
                f"texts must have at most max_len={self.max_len} tokens (or pass "
                f"truncate=True): text {too_long[0]} has {len(encoded[too_long[0]])}"
            )
        if too_long:
            encoded = self._truncated().encode_batch(inputs)
        longest = max(len(encoding) for encoding in encoded)
        for encoding in encoded:
            encoding.pad(longest, pad_id=self.pad_id, pad_token="[PAD]")
        return Batch(
            torch.tensor([encoding.ids for encoding in encoded]),
            torch.tensor([encoding.type_ids for encoding in encoded]),
            torch.tensor(
                [encoding.attention_mask for encoding in encoded], dtype=torch.bool
            ),
        )

    def tokens(self, text: str) -> list[str]:
        """The pieces of one text; `##` marks a piece that continues a word.

        Raises:
            TypeError: `text` is not a string.
        """
        (text,) = _check_texts("text", [text])
        return self._tokenizer.encode(text, add_special_tokens=False).tokens

    def tokens_of(self, ids: Tensor | Sequence[int]) -> list[str]:
        """The piece behind each of the `ids` `(T,)`, special tokens included.

        Raises:
            ValueError: An id is not in the vocabulary.
        """
        ids = [int(i) for i in ids]
        if outside := [i for i in ids if not 0 <= i < len(self)]:
            raise ValueError(f"ids must be in [0, {len(self)}): got {outside[:5]}")
        return [self._pieces[i] for i in ids]

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """The `ids` `(T,)` as text, without special tokens, case and spacing."""
        return self._tokenizer.decode(
            [self.vocab[piece] for piece in self.tokens_of(ids)],
            skip_special_tokens=True,
        )

    def _truncated(self) -> Tokenizer:
        copy = Tokenizer.from_str(self._tokenizer.to_str())
        copy.enable_truncation(self.max_len)
        return copy


def _build(vocab: dict[str, int], lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(
        WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocab[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = token_decoders.WordPiece(prefix="##")
    # A special token written out in a text, "[MASK]" above all, stays one token.
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def _check_texts(name: str, texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError(
            f"{name} must be a sequence of strings: got one string; put it into a list"
        )
    texts = list(texts)
    if not texts:
        raise ValueError(f"{name} must hold at least one text: got none")
    if wrong := [type(text).__name__ for text in texts if not isinstance(text, str)]:
        raise TypeError(f"{name} must be strings: got {wrong[0]}")
    return texts
