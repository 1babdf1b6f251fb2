"""Samples end where they were asked to: tokens, strings across token borders, EOS, nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from gpu_workers.engine.sampler.stops import StopRule, TokenTexts
from gpu_workers.engine.sampler.tokenizer import load_texts
from gpu_workers.engine.types import Sample, UserError
from tests.gpu_workers.engine.sampler.helpers import (
    EOS,
    Tiny,
    endless,
    prompt_of,
    sample_one,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    """Byte-level, one token a byte, a few merges, one special token; 300 ids as the tiny model."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": EOS}
    free = (number for number in range(300) if number not in vocabulary.values())
    for piece in [*alphabet, "ab", "bc", "Ġa", "Ċc"]:
        vocabulary[piece] = next(free)
    merges = [("a", "b"), ("b", "c"), ("Ġ", "a"), ("Ċ", "c")]
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", bos_token="<s>")
    folder = tmp_path_factory.mktemp("tokenizer")
    fast.save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


@pytest.fixture(scope="module")
def texts(tokenizer: PreTrainedTokenizerFast) -> TokenTexts:
    return load_texts(tokenizer.name_or_path)


def first_stop(rule: StopRule, tokens: list[int], prompt: list[int] = ()) -> int | None:  # type: ignore[assignment]
    """How many tokens the sample has when the rule stops it."""
    for count in range(1, len(tokens) + 1):
        if rule.stops(tokens[:count], prompt):
            return count
    return None


def pieces(tokenizer: PreTrainedTokenizerFast, *names: str) -> list[int]:
    return tokenizer.convert_tokens_to_ids(list(names))


def test_string_across_token_borders(tokenizer: PreTrainedTokenizerFast, texts: TokenTexts) -> None:
    tokens = pieces(tokenizer, "x", "ab", "c", "y", "a", "bc", "d")
    assert first_stop(StopRule([], ["abc"], texts), tokens) == 3
    assert first_stop(StopRule([], ["yab"], texts), tokens) == 6  # ends inside a token
    assert first_stop(StopRule([], ["cyabcd"], texts), tokens) == 7
    assert first_stop(StopRule([], ["nope", "b"], texts), tokens) == 2
    assert first_stop(StopRule([], ["abd"], texts), tokens) is None


def test_string_of_spaces_and_newlines(
    tokenizer: PreTrainedTokenizerFast, texts: TokenTexts
) -> None:
    tokens = pieces(tokenizer, "x", "Ġa", "Ċ", "Ċc", "Ġ", "Ġ")
    assert first_stop(StopRule([], [" "], texts), tokens) == 2
    assert first_stop(StopRule([], ["\n\n"], texts), tokens) == 4
    assert first_stop(StopRule([], ["  "], texts), tokens) == 6


def test_characters_of_several_byte_tokens(
    tokenizer: PreTrainedTokenizerFast, texts: TokenTexts
) -> None:
    tokens = tokenizer.encode("aé€🎉b", add_special_tokens=False)
    assert len(tokens) == 1 + 2 + 3 + 4 + 1
    assert first_stop(StopRule([], ["é"], texts), tokens) == 3
    assert first_stop(StopRule([], ["€"], texts), tokens) == 6
    assert first_stop(StopRule([], ["é€🎉"], texts), tokens) == 10
    # The stop string is complete although the token that completes it begins no whole character.
    broken = [*tokens[:1], *pieces(tokenizer, "b"), tokens[1]]
    assert first_stop(StopRule([], ["ab"], texts), broken) == 2
    # Bytes that never become a character do not hide what follows.
    assert first_stop(StopRule([], ["xy"], texts), tokens[3:4] * 50 + tokenizer.encode("xy")) == 52


def test_prompt_does_not_count(tokenizer: PreTrainedTokenizerFast, texts: TokenTexts) -> None:
    prompt = pieces(tokenizer, "x", "ab")
    rule = StopRule([], ["abc"], texts)
    assert first_stop(rule, pieces(tokenizer, "c", "c"), prompt) is None
    assert first_stop(rule, pieces(tokenizer, "c", "ab", "c"), prompt) == 3
    half = tokenizer.encode("é", add_special_tokens=False)
    assert first_stop(StopRule([], ["z"], texts), [half[1], *pieces(tokenizer, "z")], half[:1]) == 2


def test_leading_space_that_a_tokenizer_drops_counts() -> None:
    """SentencePiece-like: the first piece's space is gone when it is decoded on its own."""
    words = {1: "▁Hello", 2: "▁there", 3: "!"}

    def decode(tokens: list[int]) -> str:
        return "".join(words[token] for token in tokens).replace("▁", " ").removeprefix(" ")

    texts = TokenTexts(decode)
    assert first_stop(StopRule([], [" there"], texts), [1, 2]) == 2
    assert first_stop(StopRule([], [" there"], texts), [2, 3], [1]) == 1
    assert first_stop(StopRule([], [" "], texts), [1, 2]) == 2


def test_special_tokens_are_spelt_out(
    tokenizer: PreTrainedTokenizerFast, texts: TokenTexts
) -> None:
    tokens = [*pieces(tokenizer, "a", "b"), EOS]
    assert first_stop(StopRule([], ["</s>"], texts), tokens) == 3
    assert first_stop(StopRule([], ["b</s"], texts), tokens) == 3


def test_only_a_short_window_is_decoded(
    tokenizer: PreTrainedTokenizerFast, texts: TokenTexts
) -> None:
    longest = 0

    def watched(tokens: list[int]) -> str:
        nonlocal longest
        longest = max(longest, len(tokens))
        return texts.decode(tokens)

    rule = StopRule([], ["xyz"], TokenTexts(watched))
    tokens = pieces(tokenizer, "a", "z") * 500
    assert first_stop(rule, tokens) is None
    assert longest <= 12


def test_which_rule_a_request_asks_for(texts: TokenTexts) -> None:
    def rule(**stops) -> StopRule:
        return StopRule.of(Sample([1], **stops), (EOS,), lambda: texts)

    assert rule().stops([5, EOS])
    assert not rule(stop_tokens=[], stop_strings=[]).stops([5, EOS])
    assert not rule(stop_tokens=[7]).stops([5, EOS])
    assert rule(stop_tokens=[7]).stops([5, 7])
    assert not rule(stop_strings=["q"]).stops([EOS])
    assert not rule(stop_strings=[]).stops([EOS])


def test_stop_token_is_the_last_one_returned(qwen: Tiny) -> None:
    sampler = qwen.sampler()
    free = sample_one(sampler, endless(prompt_of(5), seed=1, max_tokens=30)).sequences[0]
    token = int(free.tokens[12])
    first = free.tokens.tolist().index(token)
    work = endless(prompt_of(5), seed=1, max_tokens=30, stop_tokens=[EOS, token])
    stopped = sample_one(sampler, work).sequences[0]
    assert stopped.stop_reason == "stop"
    assert stopped.tokens.tolist() == free.tokens[: first + 1].tolist()
    assert stopped.logprobs.tolist() == free.logprobs[: first + 1].tolist()
    assert free.stop_reason == "length"


def test_eos_stops_unless_told_otherwise(qwen: Tiny) -> None:
    sampler = qwen.sampler()
    free = sample_one(sampler, endless(prompt_of(5), num_samples=64, seed=3, max_tokens=120))
    with_eos = [s.tokens.tolist() for s in free.sequences if EOS in s.tokens.tolist()]
    assert with_eos, "the tiny model never ends: choose another seed"
    work = Sample(prompt_of(5), num_samples=64, seed=3, max_tokens=120)
    for ended, endless_one in zip(sample_one(sampler, work).sequences, free.sequences, strict=True):
        tokens = endless_one.tokens.tolist()
        if EOS in tokens:
            assert ended.tokens.tolist() == tokens[: tokens.index(EOS) + 1]
            assert ended.stop_reason == "stop"
        else:
            assert ended.tokens.tolist() == tokens
            assert ended.stop_reason == "length"


def test_stop_strings_end_samples(qwen: Tiny, texts: TokenTexts) -> None:
    sampler = qwen.sampler()
    sampler._texts = texts
    parameters = {"seed": 2, "max_tokens": 60, "num_samples": 8}
    free = sample_one(sampler, endless(prompt_of(6), **parameters))
    tokens = free.sequences[0].tokens.tolist()
    stop = texts.decode(tokens[20:24])
    assert "\ufffd" not in stop or stop.strip("\ufffd")
    stop = stop.strip("\ufffd")
    work = endless(prompt_of(6), **parameters, stop_strings=[stop])
    for ended, whole in zip(sample_one(sampler, work).sequences, free.sequences, strict=True):
        kept = len(ended.tokens)
        assert ended.tokens.tolist() == whole.tokens[:kept].tolist()
        if ended.stop_reason == "stop":
            assert stop in texts.decode(ended.tokens.tolist())
        assert stop not in texts.decode(ended.tokens[:-1].tolist())
    assert sample_one(sampler, work).sequences[0].stop_reason == "stop"


def test_model_without_tokenizer_takes_no_stop_strings(
    qwen: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="use stop token ids"):
        load_texts(str(tmp_path))
    monkeypatch.setattr(qwen.base, "source", str(tmp_path))
    sampler = qwen.sampler()
    with pytest.raises(UserError, match="tokenizer"):
        sampler.submit(None, None, endless([5], stop_strings=["x"]), "team", lambda result: None)
    assert not sampler.has_work()
