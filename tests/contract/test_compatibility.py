"""`docs/compatibility.md`: what the newest public client can do with this server.

Every public method and every option is called against the live platform, and the page must say what
came of it. To write it anew: TINSMITH_WRITE_DOCS=1 pytest tests/contract/test_compatibility.py
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

import tinsmith
from tests.conftest import REPOSITORY, LiveStack
from tests.contract.clients import OURS, PUBLIC, Client
from tests.contract.conftest import BASE_MODEL
from tests.contract.cookbook import COOKBOOK, LEFT_OUT

PAGE = REPOSITORY / "docs" / "compatibility.md"
REFUSED_ON_PURPOSE = {
    "image chunks",
    "audio (dmel) chunks",
    "optimizer dimuon",
}
HUB_OR_FOLDER = (
    "the public client looks on the hub, or for a folder of the model's name; ours asks the server"
)
REMARKS = {
    "loss stable_reinforce": "own definition: the hosted service has not published its formula",
    "`TrainingClient.get_tokenizer`": HUB_OR_FOLDER,
    "`SamplingClient.get_tokenizer`": HUB_OR_FOLDER,
    "loss of one's own, by create_custom_loss": "runs in the client; uploaded graphs are refused",
}
ADDED = (
    "log",
    "log_rollouts",
    "get_run_metrics",
    "get_run_rollouts",
    "download_checkpoint",
    "score",
)
COOKBOOK_RUNS = (
    "`recipes.sl_loop` and `recipes.rl_loop`, the tutorials, as commands",
    "`recipes.chat_sl.train` as a command: killed, resumed, evaluated, with rolling checkpoints",
    "`rl.train`: synchronous, with a KL penalty, streamed, and asynchronous off-policy",
    "`preference.train_dpo`, `distillation.train_on_policy` and `distillation.train_off_policy`",
    "`weights.download`, `weights.build_lora_adapter` and `weights.build_hf_model`",
)

Row = dict[str, Any]


@pytest.fixture(scope="module", params=[PUBLIC, OURS], ids=lambda release: release.name)
def either(request: pytest.FixtureRequest, live_stack: LiveStack) -> Iterator[Client]:
    """The newest public client, then ours, with torch at hand."""
    running = Client(request.param, live_stack.url, live_stack.api_key, with_torch=True)
    yield running
    running.close()


_seen: dict[str, list[Row]] = {}


def test_every_public_method_works(either: Client) -> None:
    # ours has to have what the public one has; what it has on top is tested elsewhere
    public = _seen.get("methods of tinker", [])
    only = [f"{row['class']}.{row['method']}" for row in public] or None
    rows = either.run("methods.every_method", base_model=BASE_MODEL, only=only)
    _seen[f"methods of {either.release.module}"] = rows
    failed = [row for row in rows if row["type"] is not None]
    assert not failed, "\n".join(map(str, failed))
    assert len(rows) > 100


def test_options_work_or_are_refused_by_name(either: Client) -> None:
    rows = either.run("methods.every_option", base_model=BASE_MODEL)
    _seen[f"options of {either.release.module}"] = rows
    refused = {row["option"]: row for row in rows if row["type"] is not None}
    assert refused.keys() == REFUSED_ON_PURPOSE, "\n".join(map(str, refused.values()))
    for row in refused.values():
        assert row["category"] == "user" or row["status"] == 400, row


def test_the_page_is_up_to_date() -> None:
    page = _page(PAGE.read_text() if PAGE.exists() else "")
    if os.environ.get("TINSMITH_WRITE_DOCS"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "write it anew: see this file's first lines"


def _page(old: str) -> str:
    """The page; what it says already keeps the release since when it is so."""
    since = dict(re.findall(r"^\| (.+?) \| .+ \| (\d[\w.]*) \|$", old, re.MULTILINE))

    def line(name: str, row: Row) -> str:
        outcome, remark = "supported", REMARKS.get(name, "")
        if row["type"] is not None:
            outcome = "refused"
            remark = _reason(row["message"]).replace("|", "/")
        shown = f"{outcome}: {remark}" if remark else outcome
        return f"| {name} | {shown} | {since.get(name, tinsmith.__version__)} |"

    methods = [line(f"`{row['class']}.{row['method']}`", row) for row in _seen["methods of tinker"]]
    options = [line(row["option"], row) for row in _seen["options of tinker"]]
    count = len(methods)
    return "\n".join(
        [
            "# Compatibility",
            "",
            f"What a program written for the public client (`{PUBLIC.requirement}`) can do with",
            "a Tinsmith server. A test calls each of these through that client, and through ours,",
            "against a live platform and writes this page: `tests/contract/test_compatibility.py`.",
            "Older releases of the client are held to the same contract by the other tests in",
            "`tests/contract`.",
            "",
            f"## Methods ({count})",
            "",
            "| method | outcome | since |",
            "|---|---|---|",
            *methods,
            "",
            "## Options",
            "",
            "| option | outcome | since |",
            "|---|---|---|",
            *options,
            "",
            "## The public cookbook",
            "",
            f"The training code of `{COOKBOOK.requirement}` runs unchanged, with",
            "`TINKER_BASE_URL` and `TINKER_API_KEY` set. `tests/contract/test_cookbook.py` runs,",
            "offline and on a nano model that has the name of one the cookbook knows:",
            "",
            *[f"- {ran}" for ran in COOKBOOK_RUNS],
            "",
            f"It is installed without `{LEFT_OUT}`, which two families of models alone need.",
            "Recipes find data sets and tokenizers offline in folders of their names where they",
            "run.",
            "",
            "Where a base model's head is also its embedding, `build_hf_model` refuses adapters",
            "that train the head (`train_unembed`, the default): merged, they would change the",
            "embedding, too. Serve them as adapters, or train with `train_unembed=False`.",
            "",
            "## Beyond the public client",
            "",
            "Our client has these on top: "
            + ", ".join(f"`{_home(name)}.{name}`" for name in ADDED)
            + "; tokenizers come from the server.",
            "",
        ]
    )


def _reason(message: str) -> str:
    """The server's own words in what the public client says, which adds ids that change."""
    for pattern in (r"Request failed: (.*?) for self\.request_id", r"'detail': \"?'?(.*?)['\"]?}"):
        if (found := re.search(pattern, message, re.DOTALL)) is not None:
            return found[1].replace("\\'", "'")
    return message


def _home(name: str) -> str:
    homes = (tinsmith.TrainingClient, tinsmith.SamplingClient, tinsmith.RestClient)
    return next(home.__name__ for home in homes if hasattr(home, name))
