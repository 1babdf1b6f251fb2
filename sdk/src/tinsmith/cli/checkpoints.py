"""``checkpoints list|show|download|publish|unpublish|ttl|delete|push``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import errors
from tinsmith._words.progress import size
from tinsmith.cli import ids
from tinsmith.cli.output import text
from tinsmith.types.results import ParsedCheckpointTinkerPath

if TYPE_CHECKING:
    import argparse

    from tinsmith.cli.command import Command
    from tinsmith.types.rest import Checkpoint

PAGE = 1000


def list_checkpoints(command: Command) -> None:
    """A table of the team's, or of one run's, newest first."""
    given = command.arguments
    found: list[Checkpoint] = []
    if given.run is not None:
        given.run = ids.run(command, given.run)
        whole = command.rest.list_checkpoints(given.run).result().checkpoints
        found = whole[given.offset : given.offset + given.limit]
    else:
        while len(found) < given.limit:
            wanted = min(PAGE, given.limit - len(found))
            page = command.rest.list_user_checkpoints(wanted, given.offset + len(found)).result()
            found += page.checkpoints
            if len(page.checkpoints) < wanted:
                break
    rows = [
        (
            item.tinker_path,
            item.checkpoint_type,
            "" if item.size_bytes is None else size(item.size_bytes),
            item.time,
            item.expires_at or "never",
            item.public,
        )
        for item in found
    ]
    columns = ("PATH", "TYPE", "SIZE", "SAVED", "EXPIRES", "PUBLIC")
    command.out.table(found, columns, rows, "there are no checkpoints yet")


def show(command: Command) -> None:
    """The checkpoint and the run that saved it."""
    path = ids.checkpoint(command, command.arguments.path)
    parsed = ParsedCheckpointTinkerPath.from_tinker_path(path)
    info = command.rest.get_weights_info_by_tinker_path(path).result()
    try:
        saved = command.rest.list_checkpoints(parsed.training_run_id).result().checkpoints
    except errors.NotFoundError:
        saved = []  # another team's, published
    item = next((item for item in saved if item.tinker_path == path), None)
    command.out.record(
        {"checkpoint": item, "weights": info},
        [
            ("Path", path),
            ("Type", parsed.checkpoint_type),
            ("Base model", info.base_model),
            ("Rank", info.lora_rank),
            ("Size", item and item.size_bytes and size(item.size_bytes)),
            ("Saved", item and item.time),
            ("Expires", item and (text(item.expires_at) or "never")),
            ("Public", item and item.public),
            ("Metadata", item and item.user_metadata),
        ],
    )


def download(command: Command) -> None:
    """Fetch the files into a new folder, with a bar on a terminal."""
    path = ids.checkpoint(command, command.arguments.path)
    name = ParsedCheckpointTinkerPath.from_tinker_path(path).checkpoint_id.partition("/")[2]
    folder = command.rest.download_checkpoint(
        path, command.arguments.output or name, progress=not command.out.as_json
    )
    files = {item.name: item.stat().st_size for item in sorted(folder.iterdir())}
    command.out.done(
        {"tinker_path": path, "folder": str(folder), "files": files},
        f"{folder}: {', '.join(f'{name} ({size(count)})' for name, count in files.items())}",
    )


def publish(command: Command) -> None:
    """Let others read it."""
    path = ids.checkpoint(command, command.arguments.path)
    command.rest.publish_checkpoint_from_tinker_path(path).result()
    command.out.done({"tinker_path": path, "public": True}, f"{path} is public now")


def unpublish(command: Command) -> None:
    """Keep it to one's own team."""
    path = ids.checkpoint(command, command.arguments.path)
    command.rest.unpublish_checkpoint_from_tinker_path(path).result()
    command.out.done({"tinker_path": path, "public": False}, f"{path} is not public any more")


def ttl(command: Command) -> None:
    """Set or take away the expiry."""
    path, after = ids.checkpoint(command, command.arguments.path), command.arguments.after
    command.rest.set_checkpoint_ttl_from_tinker_path(path, after).result()
    words = "is kept" if after is None else f"is deleted in {after} s"
    command.out.done({"tinker_path": path, "ttl_seconds": after}, f"{path} {words}")


def delete(command: Command) -> int:
    """Delete after asking; goes on past failures and tells them all."""
    paths = list(
        dict.fromkeys(
            ids.checkpoint(command, given, whole=True) for given in command.arguments.paths
        )
    )
    if not command.arguments.yes and not _agreed(paths):
        raise ValueError("nothing was deleted")
    futures = [(path, command.rest.delete_checkpoint_from_tinker_path(path)) for path in paths]
    failures = {path: error for path, future in futures if (error := future.exception())}
    deleted = [path for path in paths if path not in failures]
    command.out.done(
        {"deleted": deleted, "failed": {path: str(error) for path, error in failures.items()}},
        "\n".join(f"{path} is deleted" for path in deleted),
    )
    for path, error in failures.items():
        print(f"tinsmith: {path}: {error}", file=sys.stderr)
    return 1 if failures else 0


def _agreed(paths: list[str]) -> bool:
    if not sys.stdin.isatty():
        raise ValueError("deleting is to be meant: say --yes, or answer on a terminal")
    print(*paths, sep="\n")
    return input(f"Delete {len(paths)}? [y/N] ").strip().lower() in ("y", "yes")


def push(command: Command) -> None:
    """Download and upload; the hub's own credentials are used."""
    given = command.arguments
    try:
        import huggingface_hub  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ImportError(
            "pushing to the hub needs huggingface_hub: pip install huggingface_hub"
        ) from None
    given.path = ids.checkpoint(command, given.path)
    info = command.rest.get_weights_info_by_tinker_path(given.path).result()
    with tempfile.TemporaryDirectory() as temporary:
        folder = command.rest.download_checkpoint(
            given.path, Path(temporary) / "adapter", progress=not command.out.as_json
        )
        if not (folder / "adapter_config.json").exists():
            raise ValueError(
                f"{given.path} is encrypted with age: the hub wants plain files. Push weights that "
                "were saved without age_encryption_recipients"
            )
        (folder / "README.md").write_text(card(info.base_model, info.lora_rank))
        hub = huggingface_hub.HfApi()
        try:
            commit = _upload(hub, folder, given)
        except Exception as error:
            # it raises what its HTTP library does, and that changes with its releases
            raise OSError(f"the hub at {hub.endpoint} did not take it: {error}") from error
    command.out.done(
        {"tinker_path": given.path, "repository": given.repository, "url": str(commit)},
        f"{given.path} is at {commit}",
    )


def _upload(hub: Any, folder: Path, given: argparse.Namespace) -> object:
    """Upload an adapter's folder to a repository, made if there is none; gives the commit."""
    hub.create_repo(given.repository, private=given.private, exist_ok=True)
    if given.revision:
        hub.create_branch(given.repository, branch=given.revision, exist_ok=True)
    return hub.upload_folder(
        repo_id=given.repository,
        folder_path=str(folder),
        revision=given.revision,
        commit_message=f"Upload {given.path.rpartition('/')[2]}",
        ignore_patterns=["checkpoint_complete", "optimizer*"],
    )


def card(base_model: str, rank: int | None) -> str:
    """The README of an adapter on the hub.

    >>> print(card("org/model", 8).splitlines()[1])
    base_model: org/model
    """
    return (
        f"---\nbase_model: {base_model}\nlibrary_name: peft\ntags: [lora, tinsmith]\n---\n\n"
        f"A LoRA adapter{f' of rank {rank}' if rank else ''} for `{base_model}`, "
        "trained with Tinsmith.\n"
    )
