"""The tutorials and the quickstart, run as a reader runs them: each ends in what it has shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.conftest import REPOSITORY, LiveStack
from tests.contract.conftest import BASE_MODEL

GUIDE = REPOSITORY / "docs" / "guide"
TUTORIALS = sorted((GUIDE / "tutorials").glob("*.py"))
QUICKSTART = GUIDE / "quickstart.md"
PAGES = [page for page in sorted(GUIDE.glob("*.md")) if page != QUICKSTART]
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(script: str, folder: Path, stack: LiveStack) -> str:
    """What a script prints; its failure fails the test."""
    (folder / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={
            **os.environ,
            "TINSMITH_BASE_URL": stack.url,
            "TINSMITH_API_KEY": stack.api_key,
            "TINSMITH_CACHE_DIR": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_shows_what_it_says(
    tutorial: Path, live_stack: LiveStack, tmp_path: Path
) -> None:
    script = tutorial.read_text()
    assert re.search(r"^assert ", script, re.MULTILINE)
    assert run(script, tmp_path, live_stack)


def test_the_quickstart_ends_with_what_it_promises(live_stack: LiveStack, tmp_path: Path) -> None:
    printed = run("\n".join(CODE.findall(QUICKSTART.read_text())), tmp_path, live_stack)
    assert re.findall(r"→ (\w+)$", printed, re.MULTILINE) == ["Ada", "Ben", "Cleo", "Dora"]
    path = printed.splitlines()[-1]
    assert path.startswith("tinker://")
    asked = [sys.executable, "-m", "tinsmith.cli", "chat", path, "Who runs the inn in Tomtown?"]
    environment = {"TINSMITH_BASE_URL": live_stack.url, "TINSMITH_API_KEY": live_stack.api_key}
    answer = subprocess.check_output(
        [*asked, "--temperature", "0"], env={**os.environ, **environment}, text=True
    )
    assert answer.strip() == "Cleo"


@pytest.fixture(scope="module")
def names(
    live_stack: LiveStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """What the snippets of pages take for granted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINSMITH_BASE_URL", live_stack.url)
        patch.setenv("TINSMITH_API_KEY", live_stack.api_key)
        patch.setenv("TINSMITH_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        with tinsmith.ServiceClient() as service:
            training = service.create_lora_training_client(BASE_MODEL, rank=4, seed=1)
            sampler = service.create_sampling_client(base_model=BASE_MODEL)
            prompt = tinsmith.ModelInput.from_ints([5, 6, 7])
            params = tinsmith.SamplingParams(max_tokens=4, seed=1)
            chats = [tinsmith.Datum.from_tokens([5, 6, 7, 8])]
            yield {
                **{name: getattr(tinsmith, name) for name in tinsmith.__all__},
                "MODEL": BASE_MODEL,
                "SEED": 1,
                "STEPS": 2,
                "batch": lambda step: chats,
                "chats": chats,
                "preferences": [*chats, tinsmith.Datum.from_tokens([5, 6, 7, 9])],
                "prompt": prompt,
                "rate": lambda step: 1e-4,
                "sampler": sampler,
                "sequence": sampler.sample(prompt, 1, params).result().sequences[0],
                "service": service,
                "training": training,
            }


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_snippets_of_a_page_run(
    page: Path, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    here = dict(names)
    for snippet in CODE.findall(page.read_text()):
        exec(compile(snippet, page.name, "exec"), here)
    if "datum" in here and callable(here["datum"]):  # the page's own, of RL
        made = here["datum"](names["prompt"], names["sequence"], 0.5)
        names["training"].forward_backward([made], "importance_sampling").result()
        assert made.loss_fn_inputs["advantages"].tolist()[:3] == [0.0, 0.0, 0.5]


def lines_of(tutorial: str, begin: str) -> list[str]:
    """The lines of code of the cell that begins so."""
    cells = (GUIDE / "tutorials" / tutorial).read_text().split("# %%\n")
    cell = next(cell for cell in cells if cell.startswith(begin)).partition("# %%")[0]
    return [line for line in cell.splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("tutorial", "begin", "told", "lines", "most"),
    [
        ("first_fine_tune.py", "training = ", "Seven lines", 7, 8),
        ("rl_from_scratch.py", "for step in ", "20 lines", 20, 25),
    ],
)
def test_a_loop_is_as_short_as_it_is_said_to_be(
    tutorial: str, begin: str, told: str, lines: int, most: int
) -> None:
    assert len(lines_of(tutorial, begin)) == lines <= most
    assert told in (GUIDE / "tutorials" / tutorial).read_text().replace("\n# ", " ")
