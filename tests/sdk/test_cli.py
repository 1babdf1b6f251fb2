"""The command line against a stub: tables, ids cut short, and people at a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.stub import Answer, Stub
from tests.support.waiting import eventually
from tinsmith.cli import ids
from tinsmith.cli.main import Command, main
from tinsmith.cli.output import table
from tinsmith.cli.parser import build

SESSIONS = (
    "aaaa1111-0000-0000-0000-000000000000",
    "aaaa2222-0000-0000-0000-000000000000",
    "bbbb0000-0000-0000-0000-000000000000",
)
RUNS = [f"{SESSIONS[2]}:train:0", f"{SESSIONS[1]}:train:10", f"{SESSIONS[1]}:train:1"]
PATHS = [
    f"tinker://{RUNS[0]}/weights/step-2",
    f"tinker://{RUNS[0]}/weights/step-10",
    f"tinker://{RUNS[0]}/weights/step-1",
    f"tinker://{RUNS[1]}/sampler_weights/final",
]
WHEN = "2026-01-31T12:00:00Z"


def saved(paths: list[str]) -> Answer:
    kinds = {"weights": "training", "sampler_weights": "sampler"}
    rows = []
    for path in paths:
        segment, name = path.split("/")[3:]
        rows.append(
            {
                "checkpoint_id": f"{segment}/{name}",
                "checkpoint_type": kinds[segment],
                "time": WHEN,
                "tinker_path": path,
            }
        )
    return Answer(body={"checkpoints": rows})


@pytest.fixture
def command(stub: Stub) -> Iterator[Command]:
    """What a command has, with a server that has three sessions, three runs, four checkpoints."""
    run = {"base_model": "b", "model_owner": "o", "is_lora": True, "last_request_time": WHEN}
    answers = {
        "training_runs?limit=100&offset=0&access_scope=owned": {
            "training_runs": [{"training_run_id": name, **run} for name in RUNS],
            "cursor": {"offset": 0, "limit": 100, "total_count": 3},
        },
        "sessions?limit=100&offset=0&access_scope=owned": {"sessions": list(SESSIONS)},
    }
    for path, body in answers.items():
        stub.script(path, *[Answer(body=body)] * 9)
    stub.script("checkpoints?limit=1000&offset=0", *[saved(PATHS)] * 9)
    stub.script(f"training_runs/{RUNS[0]}/checkpoints", *[saved(PATHS[:3])] * 9)
    given = ["models", "--base-url", stub.url, "--api-key", "tml-x"]
    with closing(Command(build("0").parse_args(given))) as made:
        yield made


@pytest.mark.parametrize(
    ("find", "given", "meant"),
    [
        (ids.run, "latest", RUNS[0]),
        (ids.run, "bbbb", RUNS[0]),
        (ids.run, RUNS[2], RUNS[2]),
        (ids.run, RUNS[1][:-1], RUNS[2]),  # a whole id is no other's beginning
        (ids.session, "latest", SESSIONS[0]),
        (ids.session, "aaaa2", SESSIONS[1]),
        (ids.checkpoint, "latest", PATHS[0]),
        (ids.checkpoint, "aaaa2", PATHS[3]),
        (ids.checkpoint, f"{PATHS[3][:-2]}", PATHS[3][:-2]),  # another team's run: as it is
        (ids.checkpoint, PATHS[2], PATHS[2]),
        (ids.checkpoint, f"{PATHS[1][:-1]}0", PATHS[1]),
        (ids.checkpoint, "tinker://aaaa", PATHS[3]),
    ],
)
def test_the_beginning_of_an_id_or_latest_is_enough(
    command: Command, find: Callable[[Command, str], str], given: str, meant: str
) -> None:
    assert find(command, given) == meant


@pytest.mark.parametrize(
    ("find", "given", "words"),
    [
        (ids.run, "aaaa", ["2 training runs begin with 'aaaa'", RUNS[1], RUNS[2]]),
        (ids.run, "cccc", ["no training run begins with 'cccc'", "tinsmith runs list"]),
        (ids.session, "aaaa", ["2 sessions begin with 'aaaa'", SESSIONS[0]]),
        (ids.checkpoint, "bbbb", ["3 checkpoints begin with 'bbbb'", PATHS[0]]),
        (ids.checkpoint, "x", ["no checkpoint begins with 'x'", "tinsmith checkpoints list"]),
    ],
)
def test_a_beginning_that_is_not_enough_is_told(
    command: Command, find: Callable[[Command, str], str], given: str, words: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"begins? with") as caught:
        find(command, given)
    assert all(part in str(caught.value) for part in words)


def test_what_is_deleted_is_named_in_full(command: Command) -> None:
    assert ids.checkpoint(command, PATHS[2][:-1], whole=True) == PATHS[2][:-1]
    assert ids.checkpoint(command, "latest", sampler_only=True) == PATHS[3]


def test_tables_cut_free_texts_and_never_ids() -> None:
    rows = [("RUN", "BASE MODEL", "METADATA"), (RUNS[0], "an/unusually-long-name", "note=" * 40)]
    for width in (20, 60, 100):
        for line in table(rows, width)[1:]:
            assert RUNS[0] in line
            assert "an/unusually-long-name" in line
            assert line.endswith("…")
    assert len(table(rows, 100)[1]) <= 100
    for path in PATHS:
        assert path in table([("PATH", "TYPE"), (path, "training")], 40)[1]


# ---- at a terminal


@contextmanager
def terminal(*arguments: str, **variables: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The command at a terminal of its own: (the terminal's other end, the process)."""
    ours, theirs = pty.openpty()
    kept = {name: text for name, text in os.environ.items() if not name.startswith("TIN")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tinsmith.cli", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**kept, **variables},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield ours, process
    finally:
        process.kill()
        process.wait()
        os.close(ours)


class Screen:
    """What a terminal has shown so far."""

    def __init__(self, end: int) -> None:
        self._end = end
        self._shown = b""

    def wait_for(self, words: str) -> str:
        """Everything shown, once it holds these words."""

        def holds() -> bool:
            if words.encode() in self._shown:
                return True
            self._shown += os.read(self._end, 65536)
            return False

        eventually(holds, within_s=30.0)
        return self._shown.decode()

    def type(self, text: str) -> None:
        """What the person at the terminal does next."""
        os.write(self._end, text.encode())


def test_login_asks_again_for_an_address_where_nobody_of_ours_is(
    stub: Stub, tmp_path: Path
) -> None:
    stub.script("healthz", Answer(404, b"<title>Grafana</title>", content_type="text/html"))
    stub.script("healthz", *[Answer(body={"status": "ok"})] * 3)
    file = tmp_path / "keys.json"
    with terminal("login", TINSMITH_CREDENTIALS_FILE=str(file)) as (end, process):
        screen = Screen(end)
        screen.wait_for("Server [http://127.0.0.1:8000]: ")
        screen.type(f"{stub.url}/v1\n")
        screen.wait_for("goes without /v1")
        screen.type(f"{stub.url}\n")
        screen.wait_for("is no Tinsmith server")
        screen.type(f"{stub.url}\n")
        screen.wait_for("API key: ")
        screen.type("\x04")
        shown = screen.wait_for("nothing was done")
        assert process.wait(30) == 1
    assert "Traceback" not in shown
    assert not file.exists()


def test_login_survives_ctrl_d_at_its_first_question(tmp_path: Path) -> None:
    with terminal("login", TINSMITH_CREDENTIALS_FILE=str(tmp_path / "k")) as (end, process):
        screen = Screen(end)
        screen.wait_for("Server [")
        screen.type("\x04")
        assert "Traceback" not in screen.wait_for("the input ended before an answer")
        assert process.wait(30) == 1


def test_chat_greets_explains_itself_and_ends(stub: Stub) -> None:
    where = ("--base-url", stub.url, "--api-key", "tml-x")
    with terminal("chat", "a/model", *where) as (end, process):
        screen = Screen(end)
        screen.wait_for(f"a/model on {stub.url}. /help tells what there is.")
        screen.type("/help\n")
        screen.wait_for("/quit or Ctrl-D ends")
        screen.type("/exitt\n")
        screen.wait_for("there is no /exitt")
        screen.type("/quit\n")
        assert process.wait(30) == 0
    assert stub.calls == []


def test_chat_ends_with_ctrl_d(stub: Stub) -> None:
    where = ("--base-url", stub.url, "--api-key", "tml-x")
    with terminal("chat", "a/model", *where) as (end, process):
        screen = Screen(end)
        screen.wait_for("/help tells")
        screen.type("\x04")
        assert process.wait(30) == 0


def test_programs_see_no_banner(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    given: list[Any] = ["chat", "a/model", "--base-url", stub.url, "--api-key", "tml-x"]
    done = subprocess.run(
        [sys.executable, "-m", "tinsmith.cli", *given],
        input="/help\n/quit\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "tells what there is" not in done.stdout
    assert main([*given, "--system", "x", "--raw"]) == 1
    assert "--raw uses none" in capsys.readouterr().err
