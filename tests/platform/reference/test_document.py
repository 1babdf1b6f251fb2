"""The OpenAPI document: valid and complete."""

from __future__ import annotations

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from core.openapi import METHODS, Api, served
from openai_api import description as openai
from reference.document import as_json, document
from tinker_api import openapi as wire

APIS = [wire.API, openai.API]


def test_it_is_valid_openapi() -> None:
    assert list(OpenAPIV31SpecValidator(msgspec.json.decode(as_json())).iter_errors()) == []


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.prefix)
def test_every_route_is_described_and_no_other(api: Api) -> None:
    """A new route says what it takes and gives where it is served."""
    there = [route.key for route in served(api.patterns)]
    described = [key for routes in api.routes.values() for key in routes]
    assert sorted(described) == sorted(there)
    for route in served(api.patterns):
        assert set(route.parts) <= api.parts.keys(), route.key


def test_every_route_says_what_it_does() -> None:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            assert method.upper() in METHODS
            assert operation["summary"], (method, path)
            content = operation["responses"]["200"].get("content")
            assert content, f"{method} {path} gives nothing"


def test_operation_ids_are_unique() -> None:
    ids = [
        operation["operationId"]
        for methods in document()["paths"].values()
        for operation in methods.values()
    ]
    assert len(set(ids)) == len(ids)


def test_every_field_is_described() -> None:
    """A new field says what it is where it stands, or in `words.py`."""
    silent = [
        f"{name}.{field}"
        for name, schema in document()["components"]["schemas"].items()
        for field, shape in schema.get("properties", {}).items()
        if "description" not in shape
    ]
    assert silent == []


def test_descriptions_speak_of_fields_that_are_there() -> None:
    for api in APIS:
        for kind, texts in api.fields.items():
            names = {field.encode_name for field in msgspec.structs.fields(kind)}  # type: ignore[arg-type]
            assert set(texts) <= names, kind


def test_messages_have_short_names() -> None:
    """Two Structs of one name would get their modules' names before them."""
    schemas = document()["components"]["schemas"]
    assert [name for name in schemas if "." in name] == []
