"""The frozen base model: loading, freezing, and the linears that carry the runs' LoRA.

transformers' own classes do the modelling. Any decoder whose layers hold `self_attn` with
q/k/v/o_proj and `mlp` with gate/up/down_proj can be tried; `families` proves that it is computed
right before it is served.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from gpu_workers.engine import attention
from gpu_workers.engine.families.refusals import CannotServe
from gpu_workers.engine.lora.context import PassContext
from gpu_workers.engine.lora.linear import MultiLoraLinear
from gpu_workers.engine.norm import replace_norms

Kind = Literal["attn", "mlp", "unembed"]

LINEARS: tuple[tuple[str, str, Kind], ...] = (
    ("self_attn", "q_proj", "attn"),
    ("self_attn", "k_proj", "attn"),
    ("self_attn", "v_proj", "attn"),
    ("self_attn", "o_proj", "attn"),
    ("mlp", "gate_proj", "mlp"),
    ("mlp", "up_proj", "mlp"),
    ("mlp", "down_proj", "mlp"),
)

BF16_FROM_PARAMETERS = 5_000_000
"""On CPU, smaller models are faster in float32: conversions cost more than the products save."""


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """A linear that can carry LoRA. Its place in BaseModel.modules is its index everywhere."""

    name: str  # as in the model, e.g. "model.layers.0.self_attn.q_proj", "lm_head"
    kind: Kind
    d_in: int
    d_out: int


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the outside may want to know of a base model."""

    architecture: str
    vocab_size: int
    max_context_length: int
    eos_token_ids: tuple[int, ...]
    parameters: int


class BaseModel:
    """A frozen transformers model, its linears replaced by MultiLoraLinear.

    `hidden` runs everything below lm_head; lm_head itself is the fused head's business:
    `head_weight` [V, d] (tied to the embedding or not), LoRA module `head_index`.
    """

    def __init__(self, model: PreTrainedModel, source: str, max_context_length: int | None) -> None:
        self.model = model
        self.source = source
        self.config = model.config
        self.device = model.device
        self.dtype = model.dtype
        grouped = self.device.type == "cuda" and self.dtype == torch.bfloat16
        self.context = PassContext(kernel="grouped" if grouped else "loop")
        self.context.anchor = torch.zeros((), device=self.device, requires_grad=True)
        self.modules: list[ModuleInfo] = []
        parameters = sum(p.numel() for p in model.parameters())
        model.requires_grad_(False)
        model.eval()  # no dropout; checkpointing is ours, not transformers'
        self._inject()
        self._ropes = _rope_kinds(model)
        replace_norms(model)
        context_length = int(self.config.max_position_embeddings)
        self.info = ModelInfo(
            architecture=type(model).__name__,
            vocab_size=int(self.config.vocab_size),
            max_context_length=min(context_length, max_context_length or context_length),
            eos_token_ids=_eos_token_ids(model),
            parameters=parameters,
        )

    @classmethod
    def load(
        cls,
        source: str | Path,
        device: str = "cpu",
        dtype: str = "auto",
        max_context_length: int | None = None,
    ) -> BaseModel:
        """Load from a folder or hub id (safetensors only). dtype "auto": see `choose_dtype`.

        Proves nothing: what is served is loaded by `families.loading`.
        """
        config = AutoConfig.from_pretrained(source)
        model = AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            dtype=choose_dtype(dtype, device, config),
            attn_implementation="eager",
            use_safetensors=True,
        )
        return cls(model.to(device=device), str(source), max_context_length)

    def _inject(self) -> None:
        layers = self.model.model.layers
        for number, layer in enumerate(layers):
            for parent_name, child_name, kind in LINEARS:
                parent = getattr(layer, parent_name, None)
                linear = getattr(parent, child_name, None)
                if not isinstance(linear, nn.Linear):
                    raise CannotServe(
                        f"{type(self.model).__name__} cannot be served: layer {number} has no "
                        f"linear {parent_name}.{child_name}"
                    )
                name = f"model.layers.{number}.{parent_name}.{child_name}"
                index = self._register(name, kind, linear)
                setattr(parent, child_name, MultiLoraLinear(linear, name, index, self.context))
            layer.self_attn.pass_context = self.context
        head = self.model.get_output_embeddings()
        if not isinstance(head, nn.Linear) or head.bias is not None:
            raise CannotServe(f"{type(self.model).__name__} cannot be served: no plain lm_head")
        self.head_index = self._register("lm_head", "unembed", head)
        self.head_weight = head.weight
        self.config._attn_implementation = attention.ATTENTION

    def _register(self, name: str, kind: Kind, linear: nn.Linear) -> int:
        self.modules.append(ModuleInfo(name, kind, linear.in_features, linear.out_features))
        return len(self.modules) - 1

    def hidden(self, tokens: Tensor, positions: Tensor, checkpointed_layers: int = 0) -> Tensor:
        """Final hidden states [T, d] of tokens [T] at positions [T]; the pass must have begun.

        The first `checkpointed_layers` layers keep only their input and are computed again in
        backward: less memory, one more forward of those layers.
        """
        inner = self.model.model
        h = inner.embed_tokens(tokens.unsqueeze(0))
        position_ids = positions.unsqueeze(0)
        rotaries = {
            kind: inner.rotary_emb(h, position_ids, *([] if kind is None else [kind]))
            for kind in set(self._ropes)
        }
        for number, (layer, kind) in enumerate(zip(inner.layers, self._ropes, strict=True)):
            rotary = rotaries[kind]
            if number < checkpointed_layers:
                h = checkpoint(
                    layer,
                    h,
                    position_ids=position_ids,
                    position_embeddings=rotary,
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
            else:
                h = layer(h, position_ids=position_ids, position_embeddings=rotary)
        return inner.norm(h)[0]


def _rope_kinds(model: PreTrainedModel) -> list[str | None]:
    """For each layer, which positions it takes, where layers differ: the kind it is listed as."""
    layers = len(model.model.layers)
    if "layer_type" not in inspect.signature(model.model.rotary_emb.forward).parameters:
        return [None] * layers
    return list(model.config.layer_types[:layers])


def choose_dtype(dtype: str, device: str, config: AutoConfig) -> torch.dtype:
    """float32 or bfloat16. "auto": bf16 on CUDA, and on CPUs that multiply bf16 for big models."""
    if dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
    if not device.startswith("cpu"):
        return torch.bfloat16
    if not _cpu_multiplies_bf16():
        return torch.float32
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(config)
    big = sum(p.numel() for p in skeleton.parameters()) > BF16_FROM_PARAMETERS
    return torch.bfloat16 if big else torch.float32


def _cpu_multiplies_bf16() -> bool:
    """True if the CPU has avx512_bf16 or AMX tiles; without them bf16 is emulated and slow."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _eos_token_ids(model: PreTrainedModel) -> tuple[int, ...]:
    """From the generation config if it names any, else from the model's."""
    generation: GenerationConfig | None = getattr(model, "generation_config", None)
    ids = getattr(generation, "eos_token_id", None)
    if ids is None:
        ids = model.config.eos_token_id
    if ids is None:
        return ()
    return tuple(ids) if isinstance(ids, list | tuple) else (int(ids),)
