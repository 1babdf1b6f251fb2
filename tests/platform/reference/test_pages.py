"""The pages made from the code: complete, without anything from elsewhere, found from the front."""

from __future__ import annotations

import builtins
import inspect
import re
from functools import cache
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urljoin

import msgspec
import pytest
from django.test import AsyncClient, Client
from django.urls import resolve

import tinsmith
from core.openapi import served
from openai_api import description as openai
from reference import protobuf, sdk
from reference.document import document
from reference.guide.contents import contents
from tinker_api import openapi as wire
from tinsmith.wire import wire_pb2

PAGES = ["/docs/", *(f"/docs/{slug}" for slug in contents().by_slug)]
GENERATED = ["/docs/api", "/docs/protobuf", "/docs/sdk", "/docs/cli"]
_VOID = {"meta", "link", "br", "hr", "img", "path", "rect", "circle", "input"}


class Page(HTMLParser):
    """A page's ids, links and elements; fails on a tag that closes nothing."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag not in _VOID:
            self._open.append(tag)
        if found.get("id"):
            self.ids.append(found["id"] or "")
        if tag == "a":
            self.links.append(found["href"] or "")
        elif tag in ("script", "iframe", "img"):
            self.loads.append(found["src"] or "")
        elif tag == "link":
            self.loads += [found["href"] or ""]
        assert tag != "style", "the policy of the pages forbids it"
        assert not {name for name in found if name == "style" or name.startswith("on")}

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(path: str) -> Page:
    """A page, as everybody gets it."""
    response = Client().get(path)
    assert response.status_code == 200
    assert response["Content-Type"] == "text/html; charset=utf-8"
    return Page(response.content.decode())


@cache
def ids(path: str) -> list[str]:
    """A page's anchors."""
    return page(path).ids


@pytest.mark.parametrize("path", PAGES)
def test_pages_stand_alone(path: str) -> None:
    shown = page(path)
    for load in shown.loads:
        if not load.startswith("data:"):
            assert Client().get(urljoin(path, load)).status_code == 200, load
    assert [load for load in shown.loads if "//" in load] == [
        load for load in shown.loads if load.startswith("data:image/svg+xml,")
    ]
    assert len(set(shown.ids)) == len(shown.ids)
    missing = {link for link in shown.links if link[0] == "#" and link[1:] not in shown.ids}
    assert missing == set()


@pytest.mark.parametrize("path", PAGES)
def test_links_lead_somewhere(path: str) -> None:
    for link in page(path).links:
        target, _, anchor = urljoin(path, link).partition("#")
        if "://" in target or target == "/":  # the front page asks the database
            continue
        if target in PAGES:
            assert not anchor or anchor in ids(target), link
        else:
            resolve(target)
            assert Client().get(target).status_code == 200, link


@pytest.mark.parametrize("path", [*PAGES, "/api/v1/openapi.json"])
async def test_what_has_not_changed_is_not_sent_again(path: str) -> None:
    client = AsyncClient()
    first = await client.get(path)
    assert "max-age" in first["Cache-Control"]
    again = await client.get(path, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await client.post(path)).status_code in (403, 405)


async def test_the_document_is_served() -> None:
    response = await AsyncClient().get("/api/v1/openapi.json")
    assert response["Content-Type"] == "application/json"
    assert msgspec.json.decode(response.content) == msgspec.json.decode(
        msgspec.json.encode(document())
    )


def test_the_api_page_shows_every_route_and_message() -> None:
    shown = page("/docs/api")
    for api in (wire.API, openai.API):
        for route in served(api.patterns):
            assert api.prefix + route.path in shown.text
    for name, schema in document()["components"]["schemas"].items():
        assert f"message-{name}" in shown.ids
        assert all(field in shown.text for field in schema.get("properties", {}))


def test_the_protobuf_page_shows_every_message() -> None:
    shown = page("/docs/protobuf")
    for message in protobuf.protocol().messages:
        assert message.name in shown.ids
        assert all(field.name in shown.text for field in message.fields)
    assert protobuf.protocol().source in shown.text


def test_wire_proto_is_read_as_it_is_compiled() -> None:
    """The page's messages and numbers are those of the generated code."""
    read = {
        message.name: {field.name: field.number for field in message.fields}
        for message in protobuf.protocol().messages
    }
    compiled: dict[str, dict[str, int]] = {
        enum.name: {value.name: value.number for value in enum.values}
        for enum in wire_pb2.DESCRIPTOR.enum_types_by_name.values()
    }

    def add(message: object, name: str) -> None:
        compiled[name] = {field.name: field.number for field in message.fields}  # type: ignore[attr-defined]
        for inner in message.nested_types:  # type: ignore[attr-defined]
            if not inner.GetOptions().map_entry:
                add(inner, f"{name}.{inner.name}")

    for message in wire_pb2.DESCRIPTOR.message_types_by_name.values():
        add(message, message.name)
    assert read == compiled


def test_a_proto_line_that_is_not_understood_is_an_error() -> None:
    with pytest.raises(ValueError, match="not understood"):
        protobuf.read('syntax = "proto3";\nmessage A {\n  strange b = x;\n}\n')


def test_the_sdk_page_shows_every_public_name_and_method() -> None:
    shown = page("/docs/sdk")
    for name in tinsmith.__all__:
        value = getattr(tinsmith, name)
        if inspect.ismodule(value) or name.startswith("__"):
            continue
        assert name in shown.ids, name
        for member, function in inspect.getmembers(value, inspect.isfunction):
            ours = function.__module__.startswith("tinsmith")
            if ours and not member.startswith("_") and member in vars(value):
                assert member in shown.text, f"{name}.{member}"


def test_the_sdk_page_shows_no_base_that_users_cannot_name() -> None:
    standard = {*vars(builtins), "ABC", "Enum", "NamedTuple", "TypedDict"}
    nameable = {*tinsmith.__all__, *vars(tinsmith.errors), *standard}
    shown = {
        f"{item.name}: {base}"
        for section in sdk.reference().sections
        for item in section.items
        for base in item.bases
        if base not in nameable
    }
    assert shown == set()


def test_the_sdk_page_has_the_docstrings() -> None:
    shown = " ".join(page("/docs/sdk").text.split())
    first = (tinsmith.TrainingClient.__doc__ or "").partition("\n")[0].replace("`", "")
    assert first in shown
    assert "Add the gradient of a loss over data to the run's gradient." in shown
    assert "at least one datum; each at most as long as the model's context." in shown


def test_everything_public_in_the_sdk_is_documented() -> None:
    silent = [
        f"{item.name}.{member.name}" if member else item.name
        for section in sdk.reference().sections
        for item in section.items
        for member in (None, *item.members)
        if item.kind == "class" and not (member.doc if member else item.doc)
    ]
    assert silent == []


@pytest.mark.django_db
def test_the_front_page_leads_here() -> None:
    html = Client().get("/").content.decode()
    links = [unescape(link) for link in re.findall(r'href="([^"]+)"', html)]
    for path in ("/docs/", "/docs/quickstart", *GENERATED):
        assert path in links


def test_the_sdk_page_shows_what_is_imported_by_its_module() -> None:
    shown = page("/docs/sdk")
    for name in ("load_chats", "Renderer", "for_model", "TrainOnWhat", "get_lr", "Loss"):
        assert name in shown.ids, name
