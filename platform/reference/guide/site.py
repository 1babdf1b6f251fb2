"""The site: every page as HTML and as Markdown, the search's index, and the texts for agents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string

from reference.guide import generated, markdown, recipes, tutorials
from reference.guide.contents import OPTIONAL, Page, contents, index_file

INDEX = "index"
PICTURES = {".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}
_PASSAGE_CHARACTERS = 600


# ---- one page


def as_html(slug: str) -> bytes:
    """A page; KeyError if there is none of this address."""
    page = None if slug == INDEX else contents().by_slug[slug]
    before, after = contents().around(page) if page else (None, None)
    frame: dict[str, Any] = {"contents": contents(), "page": page, "slug": slug}
    frame |= {"before": before, "after": after}
    if slug in generated.PAGES:
        return generated.html(slug, frame).encode()
    # the first page's lists of pages become cards, in its template
    text = _source(slug) if page else contents().beginning
    frame["shown"] = markdown.render(_linked(text, _file(slug), ""))
    template = "page" if page else "index"
    return render_to_string(f"reference/{template}.html", frame).encode()


def as_markdown(slug: str) -> bytes:
    """The same as Markdown, with links to the others' Markdown; KeyError if there is none."""
    if slug in generated.PAGES:
        return generated.PAGES[slug].markdown().encode()
    return _linked(_source(slug), _file(slug), ".md").encode()


def script(slug: str) -> bytes:
    """A tutorial's script; KeyError if it is none."""
    page = contents().by_slug[slug]
    if page.file is None or not page.is_script:
        raise KeyError(slug)
    return page.file.read_bytes()


def picture(name: str) -> tuple[bytes, str]:
    """(bytes, content type) of a picture that pages show; KeyError if there is none."""
    if name not in _pictures():
        raise KeyError(name)
    file = _pictures()[name]
    return file.read_bytes(), PICTURES[file.suffix]


@cache
def _pictures() -> dict[str, Path]:
    """Those below docs/, and those below a recipe's folder, by their addresses."""
    folders = {"": _docs()}
    for page in contents().by_slug.values():
        if page.file is not None and not page.file.is_relative_to(_docs()):
            folders[f"{page.slug}/"] = page.file.parent
    return {
        begin + file.relative_to(folder).as_posix(): file
        for begin, folder in folders.items()
        for file in folder.rglob("*")
        if file.suffix in PICTURES and file.is_file()
    }


def _docs() -> Path:
    return Path(settings.DOCS_DIR).resolve()


def _file(slug: str) -> Path:
    file = index_file() if slug == INDEX else contents().by_slug[slug].file
    if file is None:
        raise KeyError(slug)
    return file.resolve()


def _source(slug: str) -> str:
    file = _file(slug)
    text = file.read_text()
    if file.suffix == ".py":
        return tutorials.as_markdown(text)
    table = recipes.as_markdown(recipes.installed()) if recipes.PLACE in text else ""
    return markdown.without_comments(text.replace(recipes.PLACE, table))


def _linked(text: str, file: Path, suffix: str) -> str:
    """The text of `file` with links to pages of this site; `suffix` as of the pages it is for."""

    def link(address: str, is_picture: bool) -> str | None:
        place, mark, anchor = address.partition("#")
        if ":" in place or not place:
            return address
        if place.startswith("/docs/"):
            return place.removeprefix("/docs/") + suffix + mark + anchor
        if place.startswith("/"):
            return f"..{address}"
        target = (file.parent / place).resolve()
        if is_picture:
            found = (name for name, known in _pictures().items() if known == target)
            return next((f"files/{name}" for name in found), None)
        page = contents().by_file.get(target)
        return f"{page.slug}{suffix}{mark}{anchor}" if page else None

    return markdown.relinked(text, link)


# ---- all of them


def search_index() -> bytes:
    """What the search reads: pages as [title, address, section], passages as
    [page's number, heading, anchor, text]."""
    pages = list(contents().by_slug.values())
    passages = [
        [number, passage.heading, passage.id, " ".join(passage.text.split())[:_PASSAGE_CHARACTERS]]
        for number, page in enumerate(pages)
        for passage in _passages(page)
    ]
    shown = {"pages": [[page.title, page.slug, page.section] for page in pages]}
    return json.dumps(shown | {"passages": passages}, ensure_ascii=False).encode()


def _passages(page: Page) -> Iterator[markdown.Passage]:
    yield markdown.Passage("", "", page.summary)
    if page.slug in generated.PAGES:
        yield from generated.PAGES[page.slug].passages()
    else:
        yield from markdown.render(_source(page.slug)).passages


def llms(base: str) -> str:
    """/llms.txt, after llmstxt.org; `base` is the server's address."""
    lines = [markdown.relinked(contents().beginning, lambda address, _: base + address)]
    for section in contents().sections:
        lines += ["", f"## {'Optional' if section.title == OPTIONAL else section.title}", ""]
        for page in section.pages:
            lines.append(f"- [{page.title}]({base}/docs/{page.slug}.md): {page.summary}")
    return "\n".join([*lines, ""])


def llms_full() -> bytes:
    """/llms-full.txt: every page that is not optional, one after the other."""
    pages = [page for page in contents().by_slug.values() if page.section != OPTIONAL]
    return b"\n\n---\n\n".join(as_markdown(page.slug).strip() for page in pages) + b"\n"
