"""Which renderer a model wants: by the renderer's name, the model's name, or its folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tinsmith._words.mistakes import check_text, did_you_mean
from tinsmith.renderers.chat_template import ChatTemplate
from tinsmith.renderers.deepseek import DeepSeekV3, DeepSeekV3Thinking
from tinsmith.renderers.gpt_oss import GptOss, GptOssHigh, GptOssLow
from tinsmith.renderers.kimi import KimiK2
from tinsmith.renderers.llama3 import Llama3
from tinsmith.renderers.mistral import MistralV3, MistralV7, MistralV11, MistralV13
from tinsmith.renderers.qwen import Qwen2Dot5, Qwen3, Qwen3DisableThinking, Qwen3Instruct
from tinsmith.renderers.renderer import Renderer
from tinsmith.renderers.role_colon import RoleColon

FAMILIES: dict[str, type[Renderer]] = {
    family.name: family
    for family in (
        RoleColon,
        Llama3,
        Qwen2Dot5,
        Qwen3,
        Qwen3DisableThinking,
        Qwen3Instruct,
        DeepSeekV3,
        DeepSeekV3Thinking,
        KimiK2,
        GptOssLow,
        GptOss,
        GptOssHigh,
        MistralV3,
        MistralV7,
        MistralV11,
        MistralV13,
        ChatTemplate,
    )
}

# Of a model's name without its owner, in lower case; the first that is found counts
_BY_NAME = (
    (r"^qwen3-.*(thinking|vl|omni|coder|embedding|reranker|guard|asr|tts)", None),
    (r"^qwen(3|2\.5)-[\d.]+b(-a\d+b)?-base$", "role_colon"),
    (r"^qwen3-[\d.]+b(-a\d+b)?-instruct-2507\b", "qwen3_instruct"),
    (r"^nano-qwen3$", "qwen3_instruct"),
    (r"^qwen3-[\d.]+b(-a\d+b)?(-fp8|-awq|-gptq-int[48])?$", "qwen3"),
    (r"^qwen2\.5-[\d.]+b-instruct\b", "qwen2_5"),
    (r"^qwen2\.5-[\d.]+b$", "role_colon"),
    (r"^(meta-)?llama-3(\.[123])?-\d+b-instruct$", "llama3"),
    (r"^deepseek-v3\.1(-terminus)?$", "deepseekv3"),
    (r"^deepseek-v3\.1-base$", "role_colon"),
    (r"^kimi-k2-thinking$", "kimi_k2"),
    (r"^gpt-oss-\d+b$", "gpt_oss_medium"),
    (r"^(mistral-nemo-instruct-2407|ministral-8b-instruct-2410)$", "mistral_v3"),
    (r"^mistral-small(-24b-instruct-2501|-3\.1-24b-instruct-2503)$", "mistral_v7"),
    (r"^mistral-small-3\.2-24b-instruct-2506$", "mistral_v11"),
    (r"^(mistral-nemo-base-2407|mistral-small(-24b|-3\.1-24b)-base-250[13])$", "role_colon"),
    (r"^nano-llama3$", "llama3"),
    (r"^(meta-)?llama-3(\.[12])?-\d+b$", "role_colon"),
)


def get(name: str, tokenizer: Any) -> Renderer:
    """The renderer of that name, on a tokenizer.

    Raises:
        ValueError: no such renderer, or a tokenizer of another family.
    """
    check_text("a renderer's name", name, "for_model(model, tokenizer) chooses one")
    if name not in FAMILIES:
        meant = did_you_mean(name, FAMILIES)
        raise ValueError(f"there is no renderer {name!r}{meant or '.'} There is {_listed()}")
    return FAMILIES[name](tokenizer)


def for_model(model: str | Path, tokenizer: Any = None) -> Renderer:
    """The renderer that a model was made with.

    Args:
        model: a name, e.g. ``Qwen/Qwen3-8B``, or a folder with a model's ``config.json``.
        tokenizer: the model's; a folder has it, and it is loaded with transformers.

    A model that is not known gets ``chat_template``, which its tokenizer has or not.

    Raises:
        ValueError: a name without a tokenizer; a tokenizer that does not fit.
        ImportError: a folder's tokenizer is to be loaded, and transformers is not installed.
    """
    name = name_for_model(model)
    if tokenizer is None:
        if not _is_folder(model):
            raise ValueError(
                "of a model's name for_model needs the tokenizer, too: "
                "for_model(model, training.get_tokenizer())"
            )
        from tinsmith._clients.tokenizers import open_tokenizer

        tokenizer = open_tokenizer(model)
    return get(name, tokenizer)


def name_for_model(model: str | Path) -> str:
    """The name of a model's renderer; ``chat_template`` where none is known."""
    name = _of_folder(Path(model)) if _is_folder(model) else _of_name(str(model))
    return name or ChatTemplate.name


def _of_name(model: str) -> str | None:
    short = model.partition(":")[0].rpartition("/")[2].lower()
    return next((name for pattern, name in _BY_NAME if re.search(pattern, short)), None)


def _of_folder(folder: Path) -> str | None:
    """What a folder's configuration and chat template say; a model without one knows no chats."""
    kind = json.loads((folder / "config.json").read_text()).get("model_type")
    template = _template(folder)
    if template is None:
        return "role_colon"
    if kind == "llama" and Llama3.needs[1] in template:
        return "llama3"
    if kind == "gpt_oss" and "<|channel|>" in template:
        return "gpt_oss_medium"
    if "<|im_start|>" not in template:
        return None
    if kind == "qwen2":
        return "qwen2_5" if Qwen2Dot5.default_system in template else None
    if kind in ("qwen3", "qwen3_moe"):
        if "<think>\\n'" in template and "enable_thinking" not in template:
            return None  # It always opens a block of thinking
        return "qwen3" if "reasoning_content" in template else "qwen3_instruct"
    return None


def _template(folder: Path) -> str | None:
    """A model's chat template: a file of its own, or in the tokenizer's configuration."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text()
    if not (folder / "tokenizer_config.json").is_file():
        return None
    template = json.loads((folder / "tokenizer_config.json").read_text()).get("chat_template")
    return None if template is None else str(template)


def _is_folder(model: str | Path) -> bool:
    return (Path(model) / "config.json").is_file()


def _listed() -> str:
    return ", ".join(FAMILIES)
