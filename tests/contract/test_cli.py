"""The command line as a subprocess, against a live platform."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.conftest import LiveStack
from tests.contract.conftest import BASE_MODEL, OTHER_TEAM

COMMAND = [sys.executable, "-m", "tinsmith.cli"]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def environment(live_stack: LiveStack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a user has set: nothing but a place for what `login` stores."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TINSMITH_", "TINKER_"))
    }
    return kept | {
        "TINSMITH_CREDENTIALS_FILE": str(tmp_path_factory.mktemp("login") / "keys.json"),
        "COLUMNS": "200",
    }


@pytest.fixture(scope="module")
def run(environment: dict[str, str], live_stack: LiveStack) -> Run:
    """Runs the command, logged in."""

    def call(*arguments: str, given: str = "", **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **more,
        )

    logged_in = call("login", "--base-url", live_stack.url, given=f"{live_stack.api_key}\n")
    assert logged_in.returncode == 0, logged_in.stderr
    return call


@pytest.fixture(scope="module")
def answer(run: Run) -> Callable[..., Any]:
    """Runs the command with --json; its answer."""

    def call(*arguments: str) -> Any:
        done = run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return call


@pytest.fixture(scope="module")
def trained(live_stack: LiveStack) -> Iterator[dict[str, str]]:
    """A run with metrics and checkpoints, whose session goes on."""
    with tinsmith.ServiceClient(
        base_url=live_stack.url, api_key=live_stack.api_key, display_name="cli's session"
    ) as service:
        training = service.create_lora_training_client(BASE_MODEL, rank=8)
        training.forward_backward([tinsmith.Datum.from_tokens([5, 6, 7, 8])], "cross_entropy")
        training.optim_step().result()
        training.log({"loss": 1.5, "reward": float("nan")}, step=0)
        training.log({"loss": 1.25}).result()
        saved = training.save_state("cli", user_metadata={"note": "a b"}).result()
        weights = training.save_weights_for_sampler("cli").result()
        session = training.model_id.partition(":")[0]
        yield {
            "run": training.model_id,
            "session": session,
            "path": saved.path,
            "sampler": weights.path,
        }


def test_login_keeps_the_key_to_its_owner(
    run: Run, environment: dict[str, str], live_stack: LiveStack, answer: Callable[..., Any]
) -> None:
    file = Path(environment["TINSMITH_CREDENTIALS_FILE"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert answer("whoami")["base_url"] == live_stack.url
    assert "Team" in run("whoami").stdout
    refused = run("login", "--base-url", live_stack.url, "--api-key", f"tml-{'x' * 43}")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "Invalid API key" in refused.stderr
    assert answer("whoami")["base_url"] == live_stack.url


def test_models(run: Run, answer: Callable[..., Any]) -> None:
    names = [model["model_name"] for model in answer("models")]
    assert BASE_MODEL in names
    assert [row["model_name"] for row in answer("models", "NANO-QWEN")] == [BASE_MODEL]
    table = run("models").stdout.splitlines()
    assert table[0].split() == ["MODEL", "CONTEXT", "TRAINABLE", "SAMPLEABLE"]
    nothing = run("models", "no-such")
    assert (nothing.returncode, nothing.stdout) == (0, "")


def test_runs(run: Run, answer: Callable[..., Any], trained: dict[str, str]) -> None:
    found = answer("runs", "list", "--limit", "5")
    assert trained["run"] in [item["training_run_id"] for item in found]
    assert trained["run"] in run("runs", "list").stdout
    shown = answer("runs", "show", trained["run"])
    assert shown["training_run"]["lora_rank"] == 8
    assert shown["latest_metrics"]["loss"]["value"] == 1.25
    assert {item["tinker_path"] for item in shown["checkpoints"]} >= {trained["path"]}
    for given in ("latest", trained["session"], trained["run"][:20]):
        assert answer("runs", "show", given)["training_run"] == shown["training_run"], given
    people = run("runs", "show", trained["run"]).stdout
    assert "loss = 1.25 (step 1)" in people
    unknown = run("runs", "show", "no-such")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "no-such" in unknown.stderr
    assert "error" in json.loads(run("runs", "show", "no-such", "--json").stderr)


def test_watching_a_run(
    run: Run, environment: dict[str, str], trained: dict[str, str], live_stack: LiveStack
) -> None:
    seen = run("runs", "watch", trained["run"], "--no-follow").stdout.splitlines()
    assert seen == ["step      0  loss 1.5  reward nan", "step      1  loss 1.25"]
    watching = subprocess.Popen(
        [*COMMAND, "runs", "watch", trained["run"], "--key", "late", "--interval", "0.2", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        # a shell that starts us in the background has Ctrl-C ignored, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert watching.stdout is not None
    with tinsmith.RestClient(base_url=live_stack.url, api_key=live_stack.api_key) as rest:
        for step in (7, 8):  # the second comes while it watches
            body = {"metrics": [{"key": "late", "step": step, "value": 0.5}]}
            rest._ask("POST", f"runs/{trained['run']}/metrics", None, body).result()
            row = json.loads(watching.stdout.readline())
            assert (row["key"], row["step"], row["value"]) == ("late", step, 0.5)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(20) == 130


def test_checkpoints(run: Run, answer: Callable[..., Any], trained: dict[str, str]) -> None:
    path = trained["path"]
    listed = answer("checkpoints", "list", "--run", trained["run"])
    assert {item["tinker_path"] for item in listed} >= {path, trained["sampler"]}
    assert path in run("checkpoints", "list").stdout
    assert answer("checkpoints", "show", path)["weights"]["base_model"] == BASE_MODEL
    assert "note=a b" in run("checkpoints", "show", path).stdout

    for given in ("latest", trained["session"]):
        short = run("checkpoints", "show", given)
        assert "begin with" in short.stderr if given != "latest" else short.returncode == 0
    assert answer("checkpoints", "show", path[:-1])["weights"]["base_model"] == BASE_MODEL

    def shown() -> dict[str, Any]:
        checkpoint: dict[str, Any] = answer("checkpoints", "show", path)["checkpoint"]
        return checkpoint

    assert answer("checkpoints", "publish", path) == {"tinker_path": path, "public": True}
    assert shown()["public"]
    assert run("checkpoints", "unpublish", path).returncode == 0
    assert not shown()["public"]
    assert answer("checkpoints", "ttl", path, "2h")["ttl_seconds"] == 7200
    assert shown()["expires_at"] is not None
    assert "is kept" in run("checkpoints", "ttl", path, "never").stdout
    assert shown()["expires_at"] is None
    short = run("checkpoints", "ttl", path, "60")
    assert short.returncode == 1
    assert "3600" in short.stderr


def test_downloading_a_checkpoint(
    run: Run, answer: Callable[..., Any], trained: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "adapter"
    got = answer("checkpoints", "download", trained["sampler"], "-o", str(folder))
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(got["files"])
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == 8
    again = run("checkpoints", "download", trained["sampler"], "-o", str(folder))
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert run("checkpoints", "download", trained["path"], cwd=tmp_path).returncode == 0
    assert (tmp_path / "cli" / "adapter_model.safetensors").exists()


def test_deleting_checkpoints(
    run: Run, answer: Callable[..., Any], trained: dict[str, str]
) -> None:
    with_answer = run("checkpoints", "delete", trained["path"], given="n\n")
    assert with_answer.returncode == 1
    assert "--yes" in with_answer.stderr
    unknown = f"{trained['path']}-unknown"
    done = run("checkpoints", "delete", unknown, trained["path"], "-y", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["deleted"]) == (1, [trained["path"]])
    assert list(told["failed"]) == [unknown]
    left = answer("checkpoints", "list", "--run", trained["run"])
    assert [item["tinker_path"] for item in left] == [trained["sampler"]]
    assert run("checkpoints", "delete", "nonsense", "-y").returncode == 1


def test_sessions(
    run: Run, answer: Callable[..., Any], trained: dict[str, str], tmp_path: Path
) -> None:
    found = answer("sessions", "list", "--name", "cli's session", "--status", "active")
    assert [item["session_id"] for item in found] == [trained["session"]]
    assert "cli's session" in run("sessions", "list").stdout
    shown = answer("sessions", "show", trained["session"])
    assert shown["training_run_ids"] == [trained["run"]]
    assert answer("sessions", "show", trained["session"][:18]) == shown
    target = tmp_path / "trace.json"
    answer("sessions", "trace", trained["session"], "-o", str(target))
    assert json.loads(target.read_text())["traceEvents"]


def test_usage(run: Run, answer: Callable[..., Any], trained: dict[str, str]) -> None:
    kinds = {event["event_info"]["type"] for event in answer("usage")["usage"]["data"]}
    assert {"training", "storage"} <= kinds
    for by in ("kind", "model", "session", "project", "hour"):
        told = run("usage", "--by", by)
        assert told.returncode == 0, told.stderr
        assert "training" in told.stdout
        assert re.search(r"storage +[\d.e-]+ GB·h +-\n", told.stdout), told.stdout
        assert re.search(r"stored now in project default: \d+ checkpoints, ", told.stdout)


def test_chatting(run: Run, answer: Callable[..., Any], trained: dict[str, str]) -> None:
    options = ("--max-tokens", "8", "--temperature", "0", "--seed", "1")
    for model in (BASE_MODEL, trained["sampler"]):
        told = answer("chat", model, "one two three", "--raw", *options)
        printed = run("chat", model, "one two three", "--raw", *options)
        assert printed.returncode == 0, printed.stderr
        assert printed.stdout == f"{told['answer']}\n"
    talked = run("chat", BASE_MODEL, *options, given="hello\n\nand again\n/exit\nnever\n")
    assert talked.returncode == 0, talked.stderr
    wrong = run("chat", "no/such", "hello")
    assert wrong.returncode == 1
    assert "no/such" in wrong.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["runs"], ["runs", "list", "--limit", "0"], ["models", "--x"]]
)
def test_what_is_not_understood_exits_with_2(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: tinsmith" in done.stderr


def test_a_server_that_is_away(run: Run) -> None:
    away = ["--base-url", "http://127.0.0.1:9", "--api-key", "tml-x", "--retry-seconds", "0"]
    for command in (["models"], ["chat", BASE_MODEL, "hello"]):
        done = run(*command, *away)
        assert done.returncode == 1
        assert "cannot reach http://127.0.0.1:9" in done.stderr


def test_a_reader_that_has_seen_enough(
    environment: dict[str, str], live_stack: LiveStack, run: Run
) -> None:
    line = f"{sys.executable} -m tinsmith.cli models --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_completion(run: Run, environment: dict[str, str], tmp_path: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        script = run("completion", shell).stdout
        assert "tinsmith _words" in script
        if shutil.which(shell):
            (tmp_path / shell).write_text(script)
            flags = "--no-execute" if shell == "fish" else "-n"
            subprocess.run([shell, flags, str(tmp_path / shell)], check=True)
    (tmp_path / "tinsmith").write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    (tmp_path / "tinsmith").chmod(0o755)
    asked = (
        'eval "$(tinsmith completion bash)"; COMP_WORDS=(tinsmith checkpoints un); COMP_CWORD=2; '
        '_tinsmith; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", asked],
        env=environment | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "unpublish\n"


def test_another_teams_run_is_not_there(run: Run, trained: dict[str, str], other_key: str) -> None:
    assert OTHER_TEAM  # the key's team, made for this
    done = run("runs", "watch", trained["run"], "--api-key", other_key)
    assert done.returncode == 1
    assert trained["run"] in done.stderr


def test_logging_out(run: Run, environment: dict[str, str], live_stack: LiveStack) -> None:
    assert run("logout").returncode == 0
    refused = run("models")
    assert refused.returncode == 1
    assert "tinsmith login" in refused.stderr
    named = run("models", "--base-url", live_stack.url)
    assert named.returncode == 1
