"""Every recipe that is installed: its form, its goals, its page."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import chz
import pytest
from jsonschema import Draft202012Validator, ValidationError, validate

from tinsmith_recipes.training.command import find, installed, told
from tinsmith_recipes.training.figures import Figure
from tinsmith_recipes.training.recipe import Recipe, describe, read

RECIPES = Path(sys.modules[Recipe.__module__].__file__ or "").parents[1]
every_recipe = pytest.mark.parametrize("name", installed())


def sentence(text: str) -> bool:
    return len(text.split()) >= 3 and text.endswith(".")


@every_recipe
def test_it_is_called_by_its_name(name: str) -> None:
    recipe = find(name)
    assert recipe.name == name
    assert sentence(recipe.summary)
    assert len(recipe.summary) <= 100


@every_recipe
def test_its_description_is_a_form_that_its_defaults_fill(name: str) -> None:
    described = json.loads(json.dumps(describe(find(name))))
    schema = described["schema"]
    Draft202012Validator.check_schema(schema)
    defaults = {key: field["default"] for key, field in schema["properties"].items()}
    validate(defaults, schema)
    assert {"seed", "log_path", "base_model"} <= set(defaults)
    with pytest.raises(ValidationError):
        validate({**defaults, "seed": "one"}, schema)
    with pytest.raises(ValidationError):
        validate({**defaults, "no_such_setting": 1}, schema)
    assert described["estimate"]["steps"] > 0
    assert described["estimate"]["tokens"] > 0


@every_recipe
def test_every_setting_explains_itself(name: str) -> None:
    for key, field in chz.chz_fields(find(name)).items():
        assert sentence(field._doc), f"{key}: {field._doc!r}"


@every_recipe
def test_its_goals_are_goals(name: str) -> None:
    goals = find(name).goals
    assert goals
    assert not all(goal.holds({}) for goal in goals)
    for goal in goals:
        assert (goal.least is None) is not (goal.most is None) or goal.least <= goal.most
        bound = goal.most if goal.least is None else goal.least
        assert bound is not None
        worse = bound + (0.01 if goal.least is None else -0.01)
        assert goal.holds({goal.figure: Figure(bound, bound, bound, 1)})
        assert not goal.holds({goal.figure: Figure(worse, worse, worse, 1)})


@every_recipe
def test_numbers_out_of_range_and_words_that_are_none_are_refused(name: str) -> None:
    recipe = find(name)
    with pytest.raises(ValueError, match=r"seed=-1 is out of range: at least 0"):
        read(recipe, ["seed=-1"])
    with pytest.raises(ValueError, match=f"{name}: Could not cast 'many'.*int"):
        read(recipe, ["seed=many"])
    with pytest.raises(ValueError, match="no setting 'sead'; did you mean seed"):
        read(recipe, ["sead=1"])
    with pytest.raises(ValueError, match="'seed' is no key=value"):
        read(recipe, ["seed"])
    assert read(recipe, ["seed=3"]).seed == 3


@every_recipe
def test_it_is_told_of_with_every_setting(name: str) -> None:
    recipe = find(name)
    shown = told(recipe)
    assert all(f"  {key}=" in shown for key in chz.chz_fields(recipe))
    assert all(str(goal) in shown for goal in recipe.goals)


@every_recipe
def test_its_folder_has_a_page_that_says_how_to_run_it(name: str) -> None:
    module = Path(sys.modules[find(name).__module__].__file__ or "")
    if RECIPES in module.parents:  # of another package we know nothing
        assert f"tinsmith recipes run {name}" in (module.parent / "README.md").read_text()
