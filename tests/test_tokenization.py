"""companion.tokenization: agreement with Transformers' BertTokenizer, a case by hand, errors."""

import pydoc_data.topics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.tokenization import WordPieceTokenizer

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "un",
    "##aff",
    "##able",
    "##a",
    "a",
    "able",
    "!",
    "café",
    "é",
]


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return WordPieceTokenizer(path, max_len=6)


@pytest.fixture(scope="session")
def oracle(packaged_tokenizer, tmp_path_factory):
    from transformers import BertTokenizer

    return BertTokenizer(vocab=dict(packaged_tokenizer.vocab), do_lower_case=True)


def test_longest_piece_first_by_hand(small):
    assert small.tokens("Unaffable able!") == ["un", "##aff", "##able", "able", "!"]
    assert small.tokens("unx") == ["[UNK]"]  # a word with any unknown rest is unknown as a whole
    assert small.tokens("") == []


def test_batch_by_hand(small):
    batch = small(["a", "able a!"])
    assert batch.ids.tolist() == [[2, 9, 3, 0, 0], [2, 10, 9, 11, 3]]
    assert batch.mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert (batch.segments == 0).all()
    assert batch.ids.dtype == batch.segments.dtype == torch.int64
    assert batch.mask.dtype == torch.bool


def test_pairs_by_hand(small):
    batch = small(["a"], ["able"])
    assert small.tokens_of(batch.ids[0]) == ["[CLS]", "a", "[SEP]", "able", "[SEP]"]
    assert batch.segments.tolist() == [[0, 0, 0, 1, 1]]


def test_batch_moves_as_one(small):
    assert {x.device.type for x in small(["a"]).to("meta")} == {"meta"}


def test_agrees_with_transformers_on_real_english(packaged_tokenizer, oracle):
    paragraphs = [p for text in pydoc_data.topics.topics.values() for p in text.split("\n\n")][:2_000]
    for i in range(0, len(paragraphs), 100):
        some = paragraphs[i : i + 100]
        expected = oracle(some, padding=True, truncation=True, max_length=512, return_tensors="pt")
        found = packaged_tokenizer(some, truncate=True)
        assert torch.equal(found.ids, expected["input_ids"])
        assert torch.equal(found.mask, expected["attention_mask"].bool())


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=40), st.text(max_size=40))
def test_agrees_with_transformers_on_any_text(packaged_tokenizer, oracle, first, second):
    expected = oracle([first], [second], return_tensors="pt")
    found = packaged_tokenizer([first], [second])
    assert torch.equal(found.ids, expected["input_ids"])
    assert torch.equal(found.segments, expected["token_type_ids"])


def test_special_tokens_in_a_text_stay_whole(packaged_tokenizer):
    assert packaged_tokenizer.tokens("Paris is in [MASK].") == ["paris", "is", "in", "[MASK]", "."]


def test_cased_vocabularies_keep_case_and_accents(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*PIECES, "Un", "Café"]), encoding="utf-8")
    assert WordPieceTokenizer(path, lowercase=False).tokens("Un Café un") == ["Un", "Café", "un"]


def test_decode_leaves_special_tokens_out(packaged_tokenizer):
    ids = packaged_tokenizer(["Unbelievable attention, isn't it?"]).ids[0]
    assert packaged_tokenizer.decode(ids) == "unbelievable attention, isn ' t it?"


def test_vocabulary_lines_are_split_at_line_feeds_alone(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*PIECES, "\u2028", "last"]), encoding="utf-8")
    assert WordPieceTokenizer(path).vocab["last"] == len(PIECES) + 1


def test_too_long_is_refused_or_cut(small):
    with pytest.raises(ValueError, match=r"at most max_len=6 tokens \(or pass truncate=True\): text 1 has 7"):
        small(["a", "a a a a a"])
    assert small(["a", "a a a a a"], truncate=True).ids.tolist() == [[2, 9, 3, 0, 0, 0], [2, 9, 9, 9, 9, 3]]
    assert small(["a a a a a"], ["able"], truncate=True).segments.tolist() == [[0, 0, 0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("a text",), TypeError, "texts must be a sequence of strings: got one string; put it into a list"),
        (([],), ValueError, "texts must hold at least one text: got none"),
        ((["a", 3],), TypeError, "texts must be strings: got int"),
        ((["a"], ["a", "b"]), ValueError, "texts and pairs must be equally many: got 1 and 2"),
        ((["a"], "b"), TypeError, "pairs must be a sequence of strings: got one string"),
    ],
)
def test_bad_texts(small, arguments, error, message):
    with pytest.raises(error, match=message):
        small(*arguments)


def test_bad_ids(small):
    with pytest.raises(ValueError, match=r"ids must be in \[0, 14\): got \[14\]"):
        small.tokens_of([2, 14])
    with pytest.raises(TypeError, match="text must be strings: got int"):
        small.tokens(3)


def test_bad_vocabularies(tmp_path):
    path = tmp_path / "vocab.txt"
    with pytest.raises(FileNotFoundError, match=r"vocabulary file not found: .*vocab\.txt"):
        WordPieceTokenizer(path)
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a BERT vocabulary must contain \[MASK\]: .* does not"):
        WordPieceTokenizer(path)
    path.write_text("\n".join([*PIECES, "a"]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"a vocabulary must list each piece once: .* repeats some"):
        WordPieceTokenizer(path)
