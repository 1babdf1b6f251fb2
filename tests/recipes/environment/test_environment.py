"""What the recipe does whichever packages are installed: options, refusals, another player."""

from __future__ import annotations

import subprocess
import sys
from random import Random
from typing import Any

import pytest

from tinsmith_recipes.environment.adapters import check_known, imported, options
from tinsmith_recipes.environment.adapters.textarena import Against
from tinsmith_recipes.environment.train import Environments
from tinsmith_recipes.training.rl import Environment, Outcome

PACKAGES = {"reasoning-gym": "reasoning_gym", "textarena": "textarena", "verifiers": "verifiers"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", {}),
        ("a=1", {"a": 1}),
        (" a = 1 , b = 2.5 ", {"a": 1, "b": 2.5}),
        ("ops=[1, 2],flag=true,none=null", {"ops": [1, 2], "flag": True, "none": None}),
        ('text="a, b",plain=a b,size=3x3', {"text": "a, b", "plain": "a b", "size": "3x3"}),
        ("empty=,a=1", {"empty": "", "a": 1}),
    ],
)
def test_options_are_read(words: str, found: dict[str, Any]) -> None:
    assert options(words) == found


@pytest.mark.parametrize("words", ["a", "a=1,b", "=1", "a=1,,b=2", "a:1"])
def test_what_is_no_option_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match="is no key=value"):
        options(words)


def test_a_name_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    check_known("task", "one", ["one", "two"])
    with pytest.raises(ValueError, match="there is no task 'tow'; did you mean two"):
        check_known("task", "tow", ["one", "two"])
    with pytest.raises(ValueError, match="there is no task 'xyz'; there are one, two"):
        check_known("task", "xyz", ["two", "one"])
    with pytest.raises(ValueError, match="there are none"):
        check_known("option", "xyz", [])


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_that_is_missing_is_refused_with_how_to_get_it(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == PACKAGES[package]]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, PACKAGES[package], None)
    wanted = rf"package={package} needs it: pip install 'tinsmith-recipes\[{package}\]'"
    with pytest.raises(ValueError, match=wanted):
        Environments(package=package, task="any").load()


def test_a_package_that_is_broken_says_so_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "broken_package.py").write_text("import no_such_thing_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_thing_at_all"):
        imported("broken_package", "textarena")


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="verifiers needs task=NAME"):
        Environments(package="verifiers").load()
    with pytest.raises(ValueError, match="tagged is for package=reasoning-gym alone"):
        Environments(package="textarena", tagged=True).load()


def test_the_recipe_is_looked_at_without_any_of_the_packages() -> None:
    program = "import sys, tinsmith_recipes.environment.train\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not set(PACKAGES.values()) & set(done.stdout.split())


class Seat:
    """What a game sees of a player."""

    def __init__(self, sampler: str, seed: int = 0) -> None:
        self.sampler, self.renderer, self.context = sampler, None, 64
        self.max_tokens, self.temperature, self.random = 8, 1.0, Random(seed)


class WhoBegins(Environment):
    """Won by whoever has the first seat."""

    seats = 2

    async def play(self, first: Any, second: Any) -> tuple[Outcome, Outcome]:
        assert (first.max_tokens, first.context) == (second.max_tokens, second.context)
        names = {"ours": 1.0, "theirs": 2.0}
        return (
            Outcome(1, {"who": names[first.sampler]}),
            Outcome(-1, {"who": names[second.sampler]}),
        )


async def test_against_another_the_outcome_is_ours_from_either_seat() -> None:
    game = Against(WhoBegins(), "theirs")  # type: ignore[arg-type]
    played = [await game.play(Seat("ours", seed)) for seed in range(40)]  # type: ignore[arg-type]
    assert {one.reward for one in played} == {1, -1}
    assert {one.parts["who"] for one in played} == {1.0}
