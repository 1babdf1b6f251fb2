"""The documentation's site: Markdown as it is shown, addresses, the search, texts for agents."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from django.test import Client

from core.openapi import served
from reference.guide import markdown, recipes, site, tutorials
from reference.guide.contents import contents, read
from tests.conftest import REPOSITORY
from tinker_api import openapi as wire

DOCS = REPOSITORY / "docs"
TUTORIAL = '''"""For whoever opens the file."""

# %% [markdown]
# # Title
#
# Some *prose*.

# %%
x = 1  # a remark

# %% [markdown]
# - more
'''


def get(path: str) -> str:
    """What the server gives for a path."""
    response = Client().get(path)
    assert response.status_code == 200, path
    return response.content.decode()


def test_markdown_of_a_page_cannot_bring_html_or_scripts() -> None:
    shown = markdown.render(
        "# T\n\n<script>alert(1)</script> <b onclick=x>\n\n[a](javascript:alert(1)) `<i>`\n\n"
        "```html\n<script>1</script>\n```\n"
    ).html
    assert set(re.findall(r"<([a-z]\w*)", shown)) <= {"h1", "p", "code", "pre", "span", "a"}
    assert 'href="javascript' not in shown


def test_headings_have_anchors_that_differ() -> None:
    shown = markdown.render("# T\n\n## A `b` c!\n\n## A b c\n\n### Deep\n\n#### Deeper\n")
    assert [heading.id for heading in shown.headings] == ["a-b-c", "a-b-c-1", "deep"]
    assert [heading.level for heading in shown.headings] == [2, 2, 3]
    for heading in shown.headings:
        assert f'href="#{heading.id}"' in shown.html
    assert 'id="deeper"' in shown.html


def test_code_is_coloured_by_classes_and_whole() -> None:
    code = "for x in range(3):\n    print('<&>')\n"
    shown = markdown.render(f"```python\n{code}```\n").html
    assert '<span class="k">for</span>' in shown
    assert "style=" not in shown
    text = re.sub(r"<[^>]+>", "", shown).replace("&lt;", "<").replace("&gt;", ">")
    assert text.replace("&#39;", "'").replace("&amp;", "&").strip() == code.strip()
    assert "x &lt; y" in markdown.render("```no-such-language\nx < y\n```\n").html


def test_links_lead_to_the_site_and_stay_out_of_code() -> None:
    text = "[a](b.md#c) ![d](e.png) [f](g.py)\n\n```md\n[a](b.md)\n```\n"
    places = {"b.md#c": "b#c", "e.png": "files/e.png"}
    moved = markdown.relinked(text, lambda address, _: places.get(address))
    assert moved == "[a](b#c) ![d](files/e.png) f\n\n```md\n[a](b.md)\n```\n"


def test_a_tutorial_is_prose_and_code_in_turns() -> None:
    made = tutorials.as_markdown(TUTORIAL)
    assert made == ("# Title\n\nSome *prose*.\n\n```python\nx = 1  # a remark\n```\n\n- more\n")


def test_two_pages_of_one_address_are_refused(tmp_path: Path) -> None:
    index = "# T\n\n## S\n\n- [A](a_b.md): One.\n- [B](c/a-b.md): Two.\n"
    with pytest.raises(ValueError, match="/docs/a-b"):
        read(index, tmp_path, [])


def test_contents_have_their_order_and_neighbours() -> None:
    pages = list(contents().by_slug.values())
    assert contents().around(pages[0]) == (None, pages[1])
    assert contents().around(pages[-1]) == (pages[-2], None)
    html = get(f"/docs/{pages[1].slug}")
    assert f'rel="prev" href="{pages[0].slug}"' in html
    assert f'rel="next" href="{pages[2].slug}"' in html


@pytest.mark.parametrize("slug", ["index", *contents().by_slug])
def test_every_page_is_there_as_markdown(slug: str) -> None:
    response = Client().get(f"/docs/{slug}.md")
    assert response["Content-Type"] == "text/markdown; charset=utf-8"
    text = response.content.decode()
    assert text.startswith("# ")
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for _, address in re.findall(r"(?<!!)\[([^]]*)\]\(([^)\s]+)\)", outside):
        if not re.match(r"[a-z]+:|#|\.\./", address):
            assert re.fullmatch(r"[\w-]+\.md(#\S*)?", address), address
            get("/docs/" + address.partition("#")[0])


def test_a_tutorial_is_there_as_a_script() -> None:
    page = next(page for page in contents().by_slug.values() if page.is_script)
    assert page.file is not None
    assert get(f"/docs/{page.slug}.py") == page.file.read_text()
    assert Client().get("/docs/quickstart.py").status_code == 404


@pytest.mark.parametrize(
    "path", ["nothing", "nothing.md", "files/guide/index.md", "files/../../pyproject.toml"]
)
def test_nothing_else_is_served(path: str) -> None:
    assert Client().get(f"/docs/{path}").status_code == 404


def test_installed_recipes_are_told_of_without_importing_them() -> None:
    shown = get("/docs/which-recipe.md")
    assert {one.name for one in recipes.installed()} == entry_points(group=recipes.GROUP).names
    for entry in entry_points(group=recipes.GROUP):
        recipe = entry.load()
        assert f"`{entry.name}`" in shown
        assert recipe.summary in shown
        for goal in recipe.goals:
            assert f"`{goal.figure}`" in shown


def test_the_table_of_methods_names_recipes_that_there_are() -> None:
    rows = re.findall(r"^\|.*\|$", (DOCS / "guide" / "which_recipe.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w.]+)`", row.split("|")[-2])}
    assert "chat_sl" in named
    assert named <= {one.name for one in recipes.installed()}


def test_a_recipes_readme_is_a_page(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# R\n")
    recipe = recipes.Recipe("games.chess", "Plays.", [], tmp_path / "README.md")
    found = read("# T\n\n## Tutorials\n\n- [A](a.md): One.\n", tmp_path, [recipe])
    assert [page.slug for page in found.sections[1].pages] == ["recipe-games-chess"]
    assert recipes.as_markdown([recipe]).endswith(
        "| [`games.chess`](/docs/recipe-games-chess) | Plays. |  |"
    )


def test_pictures_of_pages_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves" / "a.png").write_bytes(b"picture")
    monkeypatch.setattr(site, "_docs", lambda: tmp_path)
    site._pictures.cache_clear()
    try:
        assert site.picture("curves/a.png") == (b"picture", "image/png")
        page = tmp_path / "page.md"
        assert site._linked("![c](curves/a.png)", page, "") == "![c](files/curves/a.png)"
        assert site._linked("![c](curves/b.png)", page, "") == "c"
    finally:
        site._pictures.cache_clear()


@pytest.mark.parametrize("path", ["/docs/", "/docs/quickstart", "/docs/api"])
def test_pages_allow_no_script_but_ours(path: str) -> None:
    response = Client().get(path)
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    html = response.content.decode()
    assert re.findall(r"<script[^>]*>([^<]*)", html) == [""]
    assert "<style" not in html


def test_the_search_knows_every_page_and_leads_to_anchors() -> None:
    index = Client().get("/docs/search.json").json()
    slugs = [slug for _, slug, _ in index["pages"]]
    assert slugs == list(contents().by_slug)
    ids = [{"", *re.findall(r' id="([^"]+)"', get(f"/docs/{slug}"))} for slug in slugs]
    for number, _, anchor, _ in index["passages"]:
        assert anchor in ids[number], (slugs[number], anchor)
    headings = [heading for _, heading, *_ in index["passages"]]
    assert "TrainingClient.forward_backward" in headings
    assert "tinsmith chat" in headings
    route = next(served(wire.API.patterns))
    assert any(heading.endswith(route.path) for heading in headings)


def test_llms_txt_has_the_form_that_agents_expect() -> None:
    text = Client().get("/llms.txt", headers={"Host": "testserver"}).content.decode()
    first, second, *_ = [line for line in text.splitlines() if line]
    assert first.startswith("# ")
    assert second.startswith("> ")
    links = re.findall(r"^- \[.+?\]\(http://testserver(/docs/[\w-]+\.md)\): \S", text, re.MULTILINE)
    assert links == [f"/docs/{slug}.md" for slug in contents().by_slug]
    assert "## Optional" in text


def test_llms_full_txt_holds_every_page_that_is_not_optional() -> None:
    whole = get("/llms-full.txt")
    for page in contents().by_slug.values():
        assert (get(f"/docs/{page.slug}.md").strip() in whole) == (page.section != "Inside")
