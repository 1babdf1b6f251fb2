"""What the documentation holds, in which order: docs/guide/index.md, in the form of llmstxt.org.

Each section of it is one of the navigation, each link a page: a file of docs/, a tutorial's script,
or one of the pages that are made from the code (`/docs/sdk`). A page's address is the file's name,
a README's its title. READMEs of the recipes that are installed make a section of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

from reference.guide import recipes

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_ENTRY = re.compile(r"^- \[(.+?)\]\((.+?)\): (.+?)(?=\n- |\n\n|\Z)", re.MULTILINE | re.DOTALL)
RECIPES, AFTER = "Recipes", "Tutorials"
# What a reader in a hurry may leave out, in the words of llmstxt.org
OPTIONAL = "Inside"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the site; one made from the code has no file."""

    slug: str
    title: str
    summary: str
    section: str
    file: Path | None

    @property
    def is_script(self) -> bool:
        """Whether it is a tutorial, which is a Python script."""
        return self.file is not None and self.file.suffix == ".py"


@dataclass(frozen=True, slots=True)
class Section:
    """Pages that belong together."""

    title: str
    pages: list[Page]


@dataclass(frozen=True, slots=True)
class Contents:
    """The whole site."""

    beginning: str
    sections: list[Section]
    by_slug: dict[str, Page]
    by_file: dict[Path, Page]

    def around(self, page: Page) -> tuple[Page | None, Page | None]:
        """The pages before and after this one."""
        pages = [None, *self.by_slug.values(), None]
        place = pages.index(page)
        return pages[place - 1], pages[place + 1]


def index_file() -> Path:
    """The page that all begins with."""
    return Path(settings.DOCS_DIR) / "guide" / "index.md"


@cache
def contents() -> Contents:
    """What index.md names. Raises ValueError if two pages would have one address."""
    file = index_file()
    return read(file.read_text(), file.parent, recipes.installed())


def read(text: str, folder: Path, installed: list[recipes.Recipe]) -> Contents:
    """Take index.md apart, whose links are relative to `folder`, and add recipes' READMEs."""
    beginning, *parts = _SECTION.split(text)
    sections = []
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        pages = [_page(name, folder, *entry) for entry in _ENTRY.findall(body)]
        sections.append(Section(name, pages))
        if name == AFTER and (own := _recipe_pages(installed)):
            sections.append(Section(RECIPES, own))
    by_slug = dict[str, Page]()
    for page in (page for section in sections for page in section.pages):
        if by_slug.setdefault(page.slug, page) is not page:
            raise ValueError(f"two pages would have the address /docs/{page.slug}")
    files = {page.file: page for page in by_slug.values() if page.file is not None}
    return Contents(beginning.strip(), sections, by_slug, files)


def _recipe_pages(installed: list[recipes.Recipe]) -> list[Page]:
    return [
        Page(one.slug, one.name, one.summary, RECIPES, one.readme.resolve())
        for one in installed
        if one.readme is not None
    ]


def _page(section: str, folder: Path, title: str, link: str, summary: str) -> Page:
    name = title.replace(" ", "-") if Path(link).name == "README.md" else Path(link).stem
    slug = name.lower().replace("_", "-")
    file = None if link.startswith("/docs/") else (folder / link).resolve()
    return Page(slug, title, " ".join(summary.split()), section, file)
