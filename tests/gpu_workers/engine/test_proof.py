"""The proof at load: what is computed otherwise than by the model itself is refused by name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.families import loading, proof
from gpu_workers.engine.families.refusals import CannotServe, refuse
from gpu_workers.engine.families.shrink import TOKENS, random_model, shrunk_config
from gpu_workers.engine.lora import linear
from gpu_workers.engine.sampler.attention import DecodeGroup, Prefill
from tests.gpu_workers.engine.cases import CASES, tiny_config

Patch = pytest.MonkeyPatch
FLOAT32 = torch.float32


def prove(case: str) -> None:
    proof.prove_family(tiny_config(case), "cpu", FLOAT32)


def test_nothing_is_refused_that_is_computed_right() -> None:
    """The tampering below finds what it finds because of the tampering."""
    for case in CASES:
        prove(case)


def wider_window(patch: Patch) -> None:
    real = proof.packed_attention

    def attention(module: Any, q: Any, k: Any, v: Any, scaling: Any, window: int | None) -> Any:
        return real(module, q, k, v, scaling, None if window is None else window + 1)

    patch.setattr(proof, "packed_attention", attention)


def no_window_in_decoding(patch: Patch) -> None:
    real = DecodeGroup.visible
    patch.setattr(DecodeGroup, "visible", lambda self, span, window: real(self, span, None))


def no_window_in_later_pieces(patch: Patch) -> None:
    real = Prefill._mask
    patch.setattr(
        Prefill, "_mask", lambda self, chunk, window, device: real(self, chunk, None, device)
    )


def sequences_that_see_each_other(patch: Patch) -> None:
    real = proof.pack

    def pack(chunks: Any, rows: int) -> Any:
        packed = real(chunks, rows)
        packed.lengths[:] = [(1, len(packed.tokens))]
        return packed

    patch.setattr(proof, "pack", pack)


def changed_model(change: Callable[[Any], None]) -> Callable[[Patch], None]:
    """The engine's own copy of the model is changed, as a wrong conversion would."""

    def tamper(patch: Patch) -> None:
        real = BaseModel.__init__

        def init(self: BaseModel, model: Any, *rest: Any) -> None:
            real(self, model, *rest)
            with torch.no_grad():
                change(model.model)

        patch.setattr(BaseModel, "__init__", init)

    return tamper


def positions_everywhere(inner: Any) -> None:
    for layer in inner.layers:
        layer.self_attn.use_rope = 1


def other_temperature(inner: Any) -> None:
    inner.layers[0].self_attn.scaling *= 1.01


def without_query_norm(inner: Any) -> None:
    for layer in inner.layers:
        layer.self_attn.q_norm = torch.nn.Identity()


def same_rope_for_all(patch: Patch) -> None:
    real = BaseModel.__init__

    def init(self: BaseModel, *rest: Any) -> None:
        real(self, *rest)
        self._ropes = ["full_attention"] * len(self._ropes)

    patch.setattr(BaseModel, "__init__", init)


def without_bias(patch: Patch) -> None:
    patch.setattr(linear, "base_product", lambda x, weight, bias: torch.mm(x, weight.t()))


TAMPERED: dict[str, tuple[str, Callable[[Patch], None], str]] = {
    "a window that is one too wide": ("mistral", wider_window, "packed"),
    "a window in some layers": ("ministral", wider_window, "packed"),
    "no window when decoding": ("mistral", no_window_in_decoding, "token by token"),
    "no window in a prompt's later pieces": ("olmo3", no_window_in_later_pieces, "token by token"),
    "neighbours that are seen": ("llama", sequences_that_see_each_other, "packed"),
    "another rope": (
        "qwen2 with windows and yarn",
        changed_model(lambda inner: inner.rotary_emb.inv_freq.mul_(1.02)),
        "packed",
    ),
    "a rope that is not stretched": (
        "llama with its own scaling",
        changed_model(
            lambda inner: inner.rotary_emb.inv_freq.copy_(
                inner.rotary_emb.compute_default_rope_parameters(inner.config)[0]
            )
        ),
        "packed",
    ),
    "one rope for two kinds of layers": ("gemma3_text", same_rope_for_all, "packed"),
    "positions in layers without any": ("smollm3", changed_model(positions_everywhere), "packed"),
    "attention at another temperature": ("qwen3", changed_model(other_temperature), "packed"),
    "a forgotten bias": ("qwen2", without_bias, "packed"),
    "a forgotten norm of queries": ("olmo2", changed_model(without_query_norm), "packed"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_family_that_is_computed_wrong_is_refused(what: str, monkeypatch: Patch) -> None:
    case, tamper, where = TAMPERED[what]
    tamper(monkeypatch)
    with pytest.raises(CannotServe, match=rf"{where}.*logprobs are up to .* is allowed in float32"):
        prove(case)


@pytest.mark.parametrize("what", [name for name in TAMPERED if "window" in name])
def test_windows_are_proven_in_bfloat16_alone_too(what: str, monkeypatch: Patch) -> None:
    """As on GPUs, where attention is another function than in float32."""
    case, tamper, where = TAMPERED[what]
    model = random_model(shrunk_config(tiny_config(case))).to(torch.bfloat16)
    proof._prove(copy.deepcopy(model), BaseModel(copy.deepcopy(model), "", None))
    tamper(monkeypatch)
    with pytest.raises(CannotServe, match=rf"{where}.* is allowed in bfloat16"):
        proof._prove(copy.deepcopy(model), BaseModel(model, "", None))


UNSUPPORTED = {
    "capped scores": ("gemma2", {}, "attention has softcap, which is not supported"),
    "attention sinks": ("granite_swa", {}, "attention has s_aux"),
    "scaled logits": ("cohere", {}, "packed sequences"),
    "multipliers": ("granite", {"embedding_multiplier": 12.0, "logits_scaling": 8.0}, "packed"),
    "attention of differences": ("diffllama", {}, "token by token"),
    "fused linears": ("phi3", {}, r"no linear self_attn\.q_proj"),
    "no gate": ("starcoder2", {}, r"no linear mlp\.gate_proj"),
}


@pytest.mark.parametrize("what", UNSUPPORTED)
def test_layers_that_the_engine_does_not_know_are_refused_with_the_reason(what: str) -> None:
    family, more, reason = UNSUPPORTED[what]
    config = AutoConfig.for_model(family, **more)
    refuse(config)
    with pytest.raises(CannotServe, match=reason):
        proof.prove_family(config, "cpu", FLOAT32)


DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
NAMED = {
    "experts": ("mixtral", {}, "mixture of experts, which is not supported yet"),
    "more experts": ("qwen3_moe", {}, "mixture of experts"),
    "experts of a few": ("deepseek_v3", {}, "mixture of experts"),
    "images": ("gemma3", {}, "reads more than text"),
    "an encoder": ("t5", {}, "it has an encoder"),
    "rope that depends on the length": (
        "llama",
        {"rope_parameters": DYNAMIC},
        "rope type 'dynamic' .* supported are default, linear, llama3, yarn",
    ),
    "quantised weights": ("llama", {"quantization_config": {"bits": 4}}, "quantised"),
}


@pytest.mark.parametrize("what", NAMED)
def test_what_no_proof_is_needed_for_is_refused_by_name(what: str) -> None:
    family, more, reason = NAMED[what]
    with pytest.raises(CannotServe, match=reason):
        refuse(AutoConfig.for_model(family, **more))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    random_model(tiny_config("mistral")).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_models_own_weights_are_proven_too(dtype: str, saved: Path, monkeypatch: Patch) -> None:
    """The family is right, but what was loaded is not what the model itself computed with."""
    loading.load(saved, dtype=dtype)
    monkeypatch.setattr(loading, "prove_family", lambda *args: None)
    changed_model(lambda inner: inner.layers[1].mlp.up_proj.weight.neg_())(monkeypatch)
    with pytest.raises(CannotServe, match=rf"probe of its own weights.* is allowed in {dtype}"):
        loading.load(saved, dtype=dtype)


def test_loading_holds_the_weights_once(saved: Path, monkeypatch: Patch) -> None:
    """The tensors that are served are those that were read."""
    read: list[Any] = []
    real = AutoModelForCausalLM.from_pretrained

    def from_pretrained(*args: Any, **options: Any) -> Any:
        read.append(real(*args, **options))
        return read[-1]

    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    base = loading.load(saved, dtype="float32")
    (model,) = read
    assert base.model is model
    assert base.head_weight.data_ptr() == model.get_output_embeddings().weight.data_ptr()


FULL_SIZE: dict[str, tuple[str, dict[str, Any]]] = {
    "Mistral 7B": ("mistral", {"sliding_window": 4096}),
    "Qwen2.5 7B": (
        "qwen2",
        {
            "hidden_size": 3584,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "num_hidden_layers": 28,
            "use_sliding_window": True,
            "sliding_window": 32768,
            "max_window_layers": 21,
            "max_position_embeddings": 131072,
        },
    ),
    "Llama 3.1 8B": (
        "llama",
        {
            "num_key_value_heads": 8,
            "num_hidden_layers": 32,
            "max_position_embeddings": 131072,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
        },
    ),
    "OLMo 3 7B": (
        "olmo3",
        {
            "num_hidden_layers": 32,
            "sliding_window": 4096,
            "max_position_embeddings": 65536,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 500000.0,
                "factor": 8.0,
                "original_max_position_embeddings": 8192,
            },
        },
    ),
    "SmolLM3 3B": (
        "smollm3",
        {"num_hidden_layers": 36, "no_rope_layer_interval": 4, "max_position_embeddings": 65536},
    ),
    "Ministral 3 8B": ("ministral3", {}),
}


@pytest.mark.parametrize("name", FULL_SIZE)
def test_a_model_of_full_size_is_proven_beyond_window_and_original_context(name: str) -> None:
    """On a small one of its kind, that keeps each kind of layer and each rope."""
    family, more = FULL_SIZE[name]
    config = AutoConfig.for_model(family, **more)
    small = shrunk_config(config)
    if getattr(config, "sliding_window", None):
        assert small.sliding_window < TOKENS
    assert set(getattr(small, "layer_types", None) or ()) == set(
        getattr(config, "layer_types", None) or ()
    )
    assert len(set(getattr(small, "no_rope_layers", [1]))) == len(
        set(getattr(config, "no_rope_layers", [1]))
    )
    ropes = [small.rope_parameters, *small.rope_parameters.values()]
    for rope in (rope for rope in ropes if isinstance(rope, dict)):
        assert rope.get("original_max_position_embeddings", 0) < TOKENS
    before = torch.random.get_rng_state()
    proof.prove_family(config, "cpu", torch.bfloat16)
    assert torch.equal(torch.random.get_rng_state(), before)
