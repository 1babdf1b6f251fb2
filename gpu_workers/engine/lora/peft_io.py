"""Adapters as files: what peft.PeftModel.from_pretrained reads, and Adam's state beside it.

A saved state is a folder: `adapter_config.json`, `adapter_model.safetensors` and, if asked for,
`optimizer.safetensors` (moments by the same names, the step, the gradient). Safetensors only, never
pickle. Saved for the holders of age keys, all of them have `.age` after their names (sealed.py) and
cannot be loaded. A folder appears under its name all at once: it is written under another name,
flushed to disk and renamed.

Nothing here touches the arena: rows come and go as arena.RowState, so that this can run in the
engine's file thread.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gpu_workers.engine.arena import FrozenAdapter, Layout, RowState
from gpu_workers.engine.base import LINEARS, BaseModel, Kind
from gpu_workers.engine.lora import sealed
from gpu_workers.engine.types import (
    LORA_ALPHA,
    AdapterSpec,
    AgeRecipient,
    FilesDamaged,
    UserError,
)

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
OPTIMIZER = "optimizer.safetensors"
_PREFIX = "base_model.model."
_METADATA = {"format": "pt"}


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """What a folder's adapter_config.json says."""

    rank: int
    kinds: frozenset[Kind]

    @property
    def spec(self) -> AdapterSpec:
        """The adapter's shape; the seed it was made from is not recorded."""
        return AdapterSpec(
            rank=self.rank,
            seed=0,
            train_attn="attn" in self.kinds,
            train_mlp="mlp" in self.kinds,
            train_unembed="unembed" in self.kinds,
        )


def save(
    directory: Path,
    layout: Layout,
    spec: AdapterSpec,
    state: RowState,
    *,
    base_name: str,
    optimizer: bool,
    encrypt_for: Sequence[AgeRecipient] = (),
    durable: bool = True,
) -> int:
    """Write `state` to `directory`, which must not exist; gives the bytes written.

    `optimizer` writes optimizer.safetensors from the state's moments and gradient. With
    `encrypt_for`, only the holders of those keys can read the files. Raises FileExistsError if the
    directory is there already, OSError if the disk will not have it.
    """
    if directory.exists():
        raise FileExistsError(f"{directory} exists already")
    directory.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in directory.parent.glob(f".{glob.escape(directory.name)}.*"):
        # of a process that died while it wrote the same
        shutil.rmtree(abandoned, ignore_errors=True)
    draft = directory.parent / f".{directory.name}.{uuid.uuid4().hex}"
    draft.mkdir()
    try:
        _write_tensors(draft / WEIGHTS, named(layout, state.master), encrypt_for)
        if optimizer:
            _write_tensors(draft / OPTIMIZER, _optimizer_tensors(layout, state), encrypt_for)
        text = json.dumps(_config(spec, base_name), indent=2, sort_keys=True) + "\n"
        _write_bytes(draft / CONFIG, text.encode(), encrypt_for)
        if durable:
            for path in (*draft.iterdir(), draft):
                _flush(path)
        draft.rename(directory)
        if durable:
            _flush(directory.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return size(directory)


def is_saved(directory: Path, *, encrypted: bool) -> bool:
    """Whether a folder holds an adapter, for the holders of keys or for everybody."""
    suffix = sealed.SUFFIX if encrypted else ""
    return all((directory / f"{name}{suffix}").exists() for name in (CONFIG, WEIGHTS))


def size(directory: Path) -> int:
    """The bytes of a folder's files."""
    return sum(path.stat().st_size for path in directory.iterdir())


def _write_tensors(
    path: Path, tensors: dict[str, Tensor], encrypt_for: Sequence[AgeRecipient]
) -> None:
    if encrypt_for:
        sealed.write(path, sealed.safetensors(tensors, _METADATA), encrypt_for)
    else:
        save_file(tensors, path, metadata=_METADATA)


def _write_bytes(path: Path, content: bytes, encrypt_for: Sequence[AgeRecipient]) -> None:
    if encrypt_for:
        sealed.write(path, iter([content]), encrypt_for)
    else:
        path.write_bytes(content)


def read_config(directory: Path) -> AdapterFiles:
    """Which adapter the folder holds. UserError if it is one that we cannot compute with."""
    config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA":
        raise UserError(f"The checkpoint holds {config.get('peft_type')} weights; LORA is allowed.")
    if config.get("lora_alpha") != LORA_ALPHA or config.get("use_rslora"):
        raise UserError(
            f"The checkpoint's lora_alpha is {config.get('lora_alpha')}; {LORA_ALPHA} is allowed."
        )
    targets = set(config["target_modules"])
    kinds: set[Kind] = {kind for _, name, kind in LINEARS if name in targets}
    if "lm_head" in targets:
        kinds.add("unembed")
    return AdapterFiles(rank=int(config["r"]), kinds=frozenset(kinds))


def load(
    directory: Path, layout: Layout, spec: AdapterSpec, *, optimizer: bool, gradient: bool
) -> RowState:
    """Read a folder into rows of this layout.

    `optimizer` reads moments and step, `gradient` also the gradient if one was saved: a run's exact
    state, which is taken as it is. UserError if the folder's adapter is shaped otherwise than
    `spec`, lacks what is asked for, or holds numbers that are not finite; FilesDamaged if it cannot
    be made out, OSError if it cannot be read.
    """
    try:
        return _load(directory, layout, spec, optimizer=optimizer, gradient=gradient)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        if "os error" in str(error):  # safetensors has no other way to say it
            raise OSError(str(error)) from error
        raise FilesDamaged(f"{directory}: {error}") from error


def _load(
    directory: Path, layout: Layout, spec: AdapterSpec, *, optimizer: bool, gradient: bool
) -> RowState:
    found = read_config(directory).spec
    for name in ("rank", "train_attn", "train_mlp", "train_unembed"):
        if getattr(found, name) != getattr(spec, name):
            raise UserError(
                f"The checkpoint has {name} {getattr(found, name)}; this run has "
                f"{getattr(spec, name)}: they must be the same."
            )
    master = torch.zeros(layout.size)
    _read(directory / WEIGHTS, layout, {"": master}, finite=not gradient)
    if not optimizer:
        return RowState(master, None, None, 0)
    if not (directory / OPTIMIZER).exists():
        raise UserError("The checkpoint holds no optimizer state: load it with optimizer false.")
    rows = {"exp_avg.": torch.zeros(layout.size), "exp_avg_sq.": torch.zeros(layout.size)}
    with safe_open(directory / OPTIMIZER, framework="pt") as file:
        steps = int(file.get_tensor("step"))
        has_gradient = gradient and any(key.startswith("grad.") for key in file.keys())  # noqa: SIM118
    if has_gradient:
        rows["grad."] = torch.zeros(layout.size)
    _read(directory / OPTIMIZER, layout, rows, finite=not gradient)
    moments = rows["exp_avg."], rows["exp_avg_sq."]
    return RowState(master, moments, rows.get("grad."), steps)


def load_frozen(directory: Path, base: BaseModel) -> FrozenAdapter:
    """Read a published adapter, in the model's compute dtype, on its device."""
    spec = read_config(directory).spec
    layout = Layout(base.modules, spec)
    row = torch.zeros(layout.size)
    _read(directory / WEIGHTS, layout, {"": row}, finite=True)
    return FrozenAdapter(layout, row.to(device=base.device, dtype=base.dtype))


def named(layout: Layout, row: Tensor, prefix: str = "") -> dict[str, Tensor]:
    """The row's matrices by PEFT's names, cut to their ranks, contiguous, on the CPU."""
    return {prefix + name: view.contiguous().cpu() for name, view in _views(layout, row).items()}


def _views(layout: Layout, row: Tensor) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for place, view in zip(layout.places, layout.views(row), strict=True):
        if place is not None and view is not None:
            out[f"{_PREFIX}{place.module.name}.lora_A.weight"] = view[0]
            out[f"{_PREFIX}{place.module.name}.lora_B.weight"] = view[1]
    return out


def _read(path: Path, layout: Layout, rows: dict[str, Tensor], *, finite: bool) -> None:
    """Fill each row from the file's tensors whose names start with the row's prefix."""
    with safe_open(path, framework="pt") as file:
        for prefix, row in rows.items():
            for name, view in _views(layout, row).items():
                try:
                    tensor = file.get_tensor(prefix + name)
                except SafetensorError as error:
                    raise UserError(f"The checkpoint lacks {prefix + name}.") from error
                if tensor.shape != view.shape:
                    raise UserError(
                        f"The checkpoint's {prefix + name} is {tuple(tensor.shape)}; "
                        f"this run's is {tuple(view.shape)}."
                    )
                view.copy_(tensor)
            if finite and not row.isfinite().all():
                raise UserError(
                    "The checkpoint holds numbers that are not finite (NaN or infinity): its run "
                    "diverged before it was saved. Load an earlier one."
                )


def _optimizer_tensors(layout: Layout, state: RowState) -> dict[str, Tensor]:
    if state.moments is None:
        raise ValueError("the state was taken without moments")
    tensors = named(layout, state.moments[0], "exp_avg.")
    tensors |= named(layout, state.moments[1], "exp_avg_sq.")
    if state.gradient is not None:
        tensors |= named(layout, state.gradient, "grad.")
    tensors["step"] = torch.tensor(state.steps, dtype=torch.int64)
    return tensors


def _config(spec: AdapterSpec, base_name: str) -> dict[str, object]:
    """adapter_config.json as peft 0.21 writes it, without what is left at its default."""
    wanted = {"attn": spec.train_attn, "mlp": spec.train_mlp}
    targets = [name for _, name, kind in LINEARS if wanted[kind]]
    if spec.train_unembed:
        targets.append("lm_head")
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "inference_mode": True,
        "r": spec.rank,
        "lora_alpha": LORA_ALPHA,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "target_modules": targets,
    }


def _flush(path: Path) -> None:
    """fsync a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
