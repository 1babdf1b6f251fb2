"""The house's rules: who may import whom, and that `platform` stays the standard library's."""

from __future__ import annotations

import ast
import os
import platform as python_platform
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PLATFORM = REPOSITORY / "platform"

# design.md: arrows point down only. An app may import those on its own line's right, and itself.
BELOW = {
    "core": set(),
    "audit": {"core"},
    "events": {"core"},
    "accounts": {"core", "audit", "events"},
    "catalog": {"core"},
    "usage": {"core"},
    "checkpoints": {"core", "audit", "events", "accounts"},
    "captures": {"core", "events", "accounts", "checkpoints"},
    "operations": {"core", "events", "accounts", "catalog", "usage", "checkpoints"},
    "runs": {
        "core",
        "audit",
        "events",
        "accounts",
        "catalog",
        "usage",
        "checkpoints",
        "captures",
        "operations",
    },
}
BELOW["tinker_api"] = BELOW["openai_api"] = set(BELOW)
BELOW["console_api"] = {*BELOW} - {"tinker_api"}
BELOW["live"] = {"core", "accounts", "events", "operations", "runs"}
BELOW["reference"] = {"core", "tinker_api", "openai_api"}
BELOW["config"] = {*BELOW}  # puts everything together
OURS = {*BELOW, "gpu_workers", "tinsmith_recipes", "tinsmith"}
# the same inside gpu_workers: which rooms a room may enter
ROOMS = {
    "engine": set(),
    "nano": {"engine"},
    "engines": {"engine"},
    "reading": {"engine"},
    "capture": {"engine"},
    "log": {"engine", "engines", "reading", "capture"},
    "process": {"engines", "log", "capture"},
}
HEAVY = {"torch", "transformers", "peft", "safetensors", "tokenizers", "vllm", "liger_kernel"}


def sources(*folders: Path) -> list[Path]:
    """Our Python files, without generated ones."""
    return [
        path
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
        if "migrations" not in path.parts and not path.name.endswith("_pb2.py")
    ]


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """(dotted module name, line) of every import in a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module, node.lineno


def offences(paths: list[Path], allowed: set[str], watched: set[str]) -> list[str]:
    """Imports of watched top-level packages that are not allowed, as `file:line module`."""
    return [
        f"{path.relative_to(REPOSITORY)}:{line} imports {name}"
        for path in paths
        for name, line in imported(path)
        if name.split(".")[0] in watched - allowed
    ]


def test_platform_is_the_standard_librarys() -> None:
    assert python_platform.__file__ is not None
    assert Path(python_platform.__file__).parent == Path(sysconfig.get_path("stdlib"))
    assert not (PLATFORM / "__init__.py").exists()
    assert not list(PLATFORM.glob("*.py")), "apps only: ruff would ask for the fatal __init__.py"


def test_platform_is_the_standard_librarys_from_the_checkout() -> None:
    command = [sys.executable, "-c", "import platform, uuid; print(platform.system())"]
    assert subprocess.check_output(command, cwd=REPOSITORY, text=True).strip()


@pytest.mark.parametrize("app", sorted(path.parent.name for path in PLATFORM.glob("*/__init__.py")))
def test_arrows_point_down(app: str) -> None:
    speaks_the_wire = app in {"tinker_api", "openai_api", "operations"}
    allowed = BELOW[app] | {app} | ({"tinsmith"} if speaks_the_wire else set())
    assert offences(sources(PLATFORM / app), allowed, OURS) == []


def test_the_platform_never_imports_the_heavy_libraries() -> None:
    door = PLATFORM / "openai_api"
    tokenize = [door / "vocabulary.py", door / "chat_tokens.py"]  # late, and without torch
    others = [path for path in sources(PLATFORM) if path not in tokenize]
    assert offences(others, set(), HEAVY) == []
    assert offences(tokenize, {"tokenizers"}, HEAVY) == []


def test_only_the_engine_and_the_nano_models_import_torch() -> None:
    workers = REPOSITORY / "gpu_workers"
    elsewhere = [
        path
        for path in sources(workers)
        if not {"engine", "nano"} & set(path.relative_to(workers).parts)
    ]
    assert offences(elsewhere, set(), HEAVY) == []


@pytest.mark.parametrize("room", ROOMS)
def test_the_rooms_of_the_workers_open_one_way(room: str) -> None:
    workers = REPOSITORY / "gpu_workers"
    files = [workers / f"{room}.py"] if room == "engines" else sources(workers / room)
    entered = {
        f"{name}.".split(".")[1]: f"{path.relative_to(REPOSITORY)}:{line} imports {name}"
        for path in files
        for name, line in imported(path)
        if name.split(".")[0] == "gpu_workers"
    }
    assert entered
    assert [entered[other] for other in entered.keys() - ROOMS[room] - {room}] == []


def test_the_workers_have_no_other_rooms() -> None:
    workers = REPOSITORY / "gpu_workers"
    found = {path.relative_to(workers).parts[0].removesuffix(".py") for path in sources(workers)}
    assert found == {*ROOMS, "__init__"}


def test_the_engine_knows_no_platform() -> None:
    engine = sources(REPOSITORY / "gpu_workers" / "engine")
    watched = {*BELOW, "tinsmith_recipes", "django", "celery", "psycopg", "google"}
    assert offences(engine, set(), watched) == []
    assert of_the_sdk(engine) <= {"losses"}


def test_the_sdk_imports_nothing_of_ours() -> None:
    sdk = sources(REPOSITORY / "sdk" / "src")
    assert offences(sdk, {"tinsmith"}, {*OURS, "django"}) == []


def test_the_sdks_private_rooms_are_the_sdks_own() -> None:
    others = sources(PLATFORM, REPOSITORY / "gpu_workers", REPOSITORY / "recipes")
    others += [path for path in sources(REPOSITORY / "tests") if path.parent.name != "sdk"]
    assert [
        f"{path.relative_to(REPOSITORY)}:{line} imports {name}"
        for path in others
        for name, line in imported(path)
        if name.startswith("tinsmith._") and "scenarios" not in path.parts
    ] == []


def test_workers_know_no_door() -> None:
    workers = sources(REPOSITORY / "gpu_workers")
    doors = {"tinker_api", "openai_api", "console_api", "live", "reference"}
    assert offences(workers, set(), doors) == []


def test_recipes_import_the_sdk_alone() -> None:
    recipes = sources(REPOSITORY / "recipes")
    assert offences(recipes, {"tinsmith", "tinsmith_recipes"}, {*OURS, "torch"}) == []


def test_the_server_imports_of_the_sdk_what_both_must_agree_on() -> None:
    assert of_the_sdk(sources(PLATFORM, REPOSITORY / "gpu_workers")) == {
        "wire",
        "losses",
        "renderers",
    }


def of_the_sdk(files: list[Path]) -> set[str]:
    """The parts of `tinsmith` that files import, "" if all of it."""
    names = {name for path in files for name, _ in imported(path)}
    parts = [name.split(".") for name in names if name.split(".")[0] == "tinsmith"]
    return {part[1] if len(part) > 1 else "" for part in parts}


def test_the_web_process_loads_no_heavy_library() -> None:
    """What the application pulls in, libraries of libraries included."""
    assert loaded_with("config.asgi") == set()


def test_the_sdk_loads_no_heavy_library() -> None:
    assert loaded_with("tinsmith") == set()


def loaded_with(module: str) -> set[str]:
    """The heavy libraries that a fresh interpreter has loaded after importing a module."""
    program = (
        f"import sys, {module}\n"
        f"print(*({HEAVY!r} & {{name.split('.')[0] for name in sys.modules}}))"
    )
    path = [PLATFORM, REPOSITORY, REPOSITORY / "sdk" / "src"]
    output = subprocess.check_output(
        [sys.executable, "-c", program],
        text=True,
        cwd=REPOSITORY,
        env={"PYTHONPATH": os.pathsep.join(map(str, path)), "PATH": os.defpath},
    )
    return set(output.split())
