"""The REST side: listings, checkpoints and what is done to them, sessions, reports."""

from __future__ import annotations

import io
import json
import tarfile
import urllib.error
import urllib.request
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

from .kit import WAIT_S, Kit, done, failure


def make(kit: Kit, base_model: str, name: str) -> dict[str, str]:
    """A run with one checkpoint of each kind."""
    service = kit.service(user_metadata={"made": "by the contract"})
    training = kit.training(base_model, service, user_metadata={"k": "v"})
    kit.step(training, kit.batch())
    paths = {
        "training": training.save_state(name, user_metadata={"a": "b"}).result(WAIT_S).path,
        "sampler": training.save_weights_for_sampler(name).result(WAIT_S).path,
        "external": training.save_weights_external(name).result(WAIT_S).path,
    }
    run_id = training.get_info().model_id
    return paths | {"run": run_id, "session": run_id.partition(":")[0]}


def listings(kit: Kit, base_model: str) -> dict[str, Any]:
    """What listings say of a run just made."""
    made = make(kit, base_model, "listed")
    rest = kit.client.RestClient()
    run = done(rest.get_training_run(made["run"]))
    page = done(rest.list_training_runs(limit=1))
    by_path = done(rest.get_training_run_by_tinker_path(made["training"]))
    of_run = done(rest.list_checkpoints(made["run"])).checkpoints
    of_team = done(rest.list_user_checkpoints(limit=3)).checkpoints
    info = done(rest.get_weights_info_by_tinker_path(made["training"]))
    return {
        "made": made,
        "run": {
            "id": run.training_run_id,
            "base_model": run.base_model,
            "rank": run.lora_rank,
            "metadata": run.user_metadata,
            "last": run.last_checkpoint.tinker_path,
            "last_sampler": run.last_sampler_checkpoint.tinker_path,
        },
        "first_of_page": page.training_runs[0].training_run_id,
        "total": page.cursor.total_count,
        "by_path": by_path.training_run_id,
        "types": sorted(item.checkpoint_type for item in of_run),
        "sizes": [item.size_bytes for item in of_run],
        "metadata": [item.user_metadata for item in of_run],
        "newest": sorted(item.tinker_path for item in of_team),
        "info": [info.base_model, info.lora_rank, info.is_lora],
    }


def changes(kit: Kit, base_model: str) -> dict[str, Any]:
    """Publish, take back, give a time to live, delete."""
    path = make(kit, base_model, "changed")["training"]
    rest = kit.client.RestClient()

    def seen() -> Any:
        listed = done(rest.list_checkpoints(path.removeprefix("tinker://").partition("/")[0]))
        return next((item for item in listed.checkpoints if item.tinker_path == path), None)

    result: dict[str, Any] = {}
    for _ in range(2):
        done(rest.publish_checkpoint_from_tinker_path(path))
    result["published"] = seen().public
    for _ in range(2):
        done(rest.unpublish_checkpoint_from_tinker_path(path))
    result["unpublished"] = seen().public
    done(rest.set_checkpoint_ttl_from_tinker_path(path, 7200))
    left = seen().expires_at - datetime.now(UTC)
    result["ttl_left"] = left.total_seconds()
    result["bad_ttl"] = failure(lambda: rest.set_checkpoint_ttl_from_tinker_path(path, 5))
    done(rest.set_checkpoint_ttl_from_tinker_path(path, None))
    result["no_ttl"] = seen().expires_at
    done(rest.delete_checkpoint_from_tinker_path(path))
    result["deleted"] = seen() is None
    result["again"] = failure(lambda: rest.delete_checkpoint_from_tinker_path(path))
    return result


def fetch(url: str) -> bytes:
    """What a signed address gives to a plain GET."""
    with urllib.request.urlopen(url, timeout=60) as response:
        body = response.read()
        assert len(body) == int(response.headers.get("Content-Length", len(body)))
        return body


def external_weights(kit: Kit, base_model: str) -> dict[str, Any]:
    """Download external weights without a key."""
    made = make(kit, base_model, "external")
    rest = kit.client.RestClient()
    found = done(rest.get_external_weights_urls(made["external"]))
    files = {name: fetch(url) for name, url in found.urls.items()}
    config = json.loads(files["adapter_config.json"])
    header = files["adapter_model.safetensors"]
    tensors = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])
    done(rest.delete_checkpoint_from_tinker_path(made["external"]))
    try:
        fetch(next(iter(found.urls.values())))
        after = 200
    except urllib.error.HTTPError as error:
        after = error.code
    return {
        "files": sorted(files),
        "config": [config["peft_type"], config["r"]],
        "tensors": len([name for name in tensors if ".lora_A." in name]),
        "after_deletion": after,
    }


def archive(kit: Kit, base_model: str) -> dict[str, Any]:
    """Download checkpoints as archives, as clients up to 0.35 do."""
    service = kit.service()
    training = kit.training(base_model, service)
    paths = {
        "training": training.save_state("archived").result(WAIT_S).path,
        "sampler": training.save_weights_for_sampler("archived").result(WAIT_S).path,
    }
    rest = service.create_rest_client()
    result: dict[str, Any] = {}
    for kind, path in paths.items():
        found = done(rest.get_checkpoint_archive_url_from_tinker_path(path))
        with tarfile.open(fileobj=io.BytesIO(fetch(found.url))) as opened:
            result[kind] = [item.name for item in opened.getmembers() if item.isreg()]
        left = found.expires - datetime.now(UTC)
        result["lasts_s"] = left.total_seconds()
    return result


def copies(kit: Kit, base_model: str) -> dict[str, Any]:
    """A copy outlives its source and trains on exactly as it would have."""
    made = make(kit, base_model, "source")
    rest = kit.client.RestClient()
    source = made["training"]
    copied = done(rest.copy_weights(source, "contract-archive"))
    service = kit.service()
    resume = service.create_training_client_from_state_with_optimizer
    losses = [kit.step(done(resume(path)), kit.batch()) for path in (source, copied)]
    done(rest.delete_checkpoint_from_tinker_path(source))
    losses.append(kit.step(done(resume(copied)), kit.batch()))
    run = copied.removeprefix("tinker://").partition("/")[0]
    return {"source": source, "copy": copied, "losses": losses, "listed": run in _project(rest)}


def _project(rest: Any) -> list[str]:
    listed = done(rest.list_training_runs(limit=100, project_id="contract-archive"))
    return [run.training_run_id for run in listed.training_runs]


def sessions(kit: Kit, base_model: str) -> dict[str, Any]:
    """Sessions: listed, shown, moved, searched for, traced."""
    made = make(kit, base_model, "session")
    rest, session = kit.client.RestClient(), made["session"]
    shown = done(rest.get_session(session))
    done(rest.assign_session_project(session, "contract-night"))
    trace = json.loads(fetch(done(rest.export_session_trace(session))))
    types = kit.client.types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = types.SessionSearchRequest(
            project_ids=["contract-night"], user_metadata={"made": "by the contract"}, limit=1
        )
        page = done(rest.search_sessions(wanted))
        status = page.sessions[0].status
    return {
        "listed": session in done(rest.list_sessions(limit=5)).sessions,
        "runs": shown.training_run_ids == [made["run"]],
        "metadata": shown.user_metadata,
        "found": [item.session_id == session for item in page.sessions],
        "checkpoints": page.sessions[0].checkpoints_count,
        "status": status.type if status else None,
        "traced": sorted({item["name"] for item in trace["traceEvents"] if item["ph"] == "b"}),
    }


def reports(kit: Kit, base_model: str) -> dict[str, Any]:
    """Who we are, what happened, what it took."""
    made = make(kit, base_model, "reported")
    rest = kit.client.RestClient()
    done(rest.publish_checkpoint_from_tinker_path(made["sampler"]))
    done(rest.unpublish_checkpoint_from_tinker_path(made["sampler"]))
    identity = done(rest.whoami())
    admin = kit.client.AdminClient()
    log = done(admin.get_audit_log(event_type="checkpoints"))
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    usage = done(admin.get_billing_usage(hour - timedelta(hours=1), hour + timedelta(hours=1)))
    storage = done(admin.get_current_checkpoint_storage_usage())
    ours = [item for item in usage.data if item.session_id == made["session"]]
    infos = [item.event_info for item in usage.data]
    return {
        "whoami": [identity.user_urn, identity.org_urn, identity.email],
        "audit": [item.event for item in log.entries if item.tinker_path == made["sampler"]],
        "usage": {item.event_info.type: _quantity(item.event_info) for item in ours},
        "stored": sum(item.checkpoint_count for item in storage.data),
        "kept": sum(_quantity(item) for item in infos if item.type == "storage"),
    }


def _quantity(info: Any) -> float:
    names = {"checkpoint": "count", "storage": "gigabyte_hours"}
    return getattr(info, names.get(info.type, "token_count"))


def publish(kit: Kit, base_model: str) -> str:
    """A published checkpoint."""
    path = make(kit, base_model, "public")["training"]
    done(kit.client.RestClient().publish_checkpoint_from_tinker_path(path))
    return path


def private(kit: Kit, base_model: str) -> str:
    """A checkpoint of our own."""
    return make(kit, base_model, "private")["training"]


def read_others(kit: Kit, path: str, token: str | None) -> dict[str, Any]:
    """Go on from another team's checkpoint; try to change it."""
    rest, service = kit.client.RestClient(), kit.service()
    arguments = {} if token is None else {"weights_access_token": token}
    create = service.create_training_client_from_state
    return {
        "loaded": failure(lambda: kit.step(done(create(path, **arguments)), kit.batch())),
        "info": failure(lambda: rest.get_weights_info_by_tinker_path(path)),
        "deleted": failure(lambda: rest.delete_checkpoint_from_tinker_path(path)),
        "unpublished": failure(lambda: rest.unpublish_checkpoint_from_tinker_path(path)),
    }
