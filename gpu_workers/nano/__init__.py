"""Two tiny base models trained here from scratch: everything runs with no hub and no GPU."""

from pathlib import Path

NAMES = ("nano-qwen3", "nano-llama3")


def folder(name: str) -> Path:
    """Folder with config, weights, tokenizer and chat template; `tinsmith/nano-qwen3` works too."""
    short = name.removeprefix("tinsmith/")
    if short not in NAMES:
        raise ValueError(f"unknown nano model {name!r}; there are {', '.join(NAMES)}")
    return Path(__file__).parent / short
