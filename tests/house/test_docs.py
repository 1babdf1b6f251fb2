"""What pages name is there: files, folders, links and their anchors, code, commands, addresses."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from django.test import Client

from reference.guide import tutorials
from reference.guide.contents import contents, index_file
from tests.conftest import REPOSITORY
from tinsmith.cli.parser import build

PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "sdk" / "README.md",
    REPOSITORY / "gpu_workers" / "nano" / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted((REPOSITORY / "recipes").rglob("README.md")),
]
# Names of our own kinds of file, alone or with folders. Data files may be a user's.
FILE = re.compile(r"(?<![\w./*<-])(?:[\w.-]+/)*[\w-]+\.(?:py|md|toml|yaml|html|proto)\b(?!\()")
FOLDER = re.compile(r"`((?:[\w.-]+/)*[\w.-]+/)`")
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
# What the server shows, not a file
ADDRESS = re.compile(r"(?:\$TINSMITH_BASE_URL|(?<![\w./]))(/(?:docs/[\w./-]*\w|llms[\w-]*\.txt))")
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCRIPTS = sorted((REPOSITORY / "docs" / "guide" / "tutorials").glob("*.py"))
IGNORED_FOLDERS = {".venv", ".git", "node_modules", "__pycache__", "data", ".cache"}
# Not ours, and why it is spoken of
ELSEWHERE = {"wandb.py": "the cookbook's", "my_task.py": "a reader's"}


@cache
def tree() -> tuple[set[str], set[str]]:
    """The files and folders of the checkout, relative."""
    files, folders = set(), set()
    waiting = [REPOSITORY]
    while waiting:
        for path in waiting.pop().iterdir():
            if path.name in IGNORED_FOLDERS or path.name.endswith("_cache"):
                continue
            name = path.relative_to(REPOSITORY).as_posix()
            if path.is_dir():
                folders.add(f"{name}/")
                waiting.append(path)
            else:
                files.add(name)
    return files, folders


def exists(name: str, among: set[str]) -> bool:
    """Whether a path is there; its beginning may be left out, as in `core/hub.py`."""
    return any(path == name or path.endswith(f"/{name}") for path in among)


def text_of(page: Path) -> str:
    """What a page says; a tutorial's script is the Markdown that is made of it."""
    return tutorials.as_markdown(page.read_text()) if page.suffix == ".py" else page.read_text()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    files, folders = tree()
    text = ADDRESS.sub("", re.sub(r"https?://\S+", "", page.read_text()))
    missing = {
        name for name in FILE.findall(text) if not exists(re.sub(r"^(\.\./)+", "", name), files)
    }
    missing |= {name for name in FOLDER.findall(text) if not exists(name, folders)}
    assert missing - set(ELSEWHERE) == set()


@pytest.mark.parametrize(
    "page", [*PAGES, *SCRIPTS], ids=lambda page: page.relative_to(REPOSITORY).as_posix()
)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(text_of(page)):
        if re.match(r"[a-z]+:|/", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_readme_leads_to_every_page() -> None:
    """Directly, or over a page that it leads to."""
    reached, waiting = set(), [REPOSITORY / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        links = [link.partition("#")[0] for link in LINK.findall(page.read_text())]
        waiting += [(page.parent / link).resolve() for link in links if "://" not in link]
    assert {page for page in PAGES if page.is_relative_to(REPOSITORY / "docs")} <= reached


def test_the_site_shows_every_page() -> None:
    """But those that others lead to, and the command line's, which it makes itself."""
    shown = {*contents().by_file, index_file(), REPOSITORY / "docs" / "cli.md"}
    missing = {page for page in PAGES if page.is_relative_to(REPOSITORY / "docs")} - shown
    assert {page.parent.name for page in missing} <= {"decisions"}
    assert set(SCRIPTS) <= shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_address_of_the_server_is_served(page: Path) -> None:
    """Other than an API's: those have descriptions of their own."""
    for address in ADDRESS.findall(page.read_text()):
        assert Client().get(address).status_code == 200, address


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_python_on_pages_is_python(page: Path) -> None:
    for code in PYTHON.findall(page.read_text()):
        lines = (
            code
            if ">>>" not in code
            else "\n".join(re.findall(r"^(?:>>>|\.\.\.) ?(.*)$", code, re.M))
        )
        compile(lines, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_commands_on_pages_are_understood(page: Path) -> None:
    """Except the page of all commands, which shows how they are used, not what to type."""
    if page.name == "cli.md":
        return
    for line in "\n".join(SHELL.findall(page.read_text())).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["tinsmith"] and "|" not in words:
            build("").parse_args(words[1:])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("see `core/nothing.py` and `nothing.md`.", ["core/nothing.py", "nothing.md"]),
        ("worker: gpu_workers/nothing.py ◄── woken", ["gpu_workers/nothing.py"]),
        ("(`a.py`, `b.toml`)", ["a.py", "b.toml"]),
        ("data/adapter_config.json, <run>/x.py, model.generate.py()", []),
    ],
)
def test_paths_are_found_in_texts(text: str, names: list[str]) -> None:
    assert FILE.findall(text) == names
    assert not any(exists(name, tree()[0]) for name in names if "nothing" in name)
