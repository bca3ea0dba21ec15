"""A hook of MkDocs (mkdocs.yml): pages from outside docs/, and links that are right on GitHub and in the site."""

import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "examples": "examples.md",
}
"""Place in the repository: page of the site."""
LINK = re.compile(r"\]\((?!\w+:)([\w./-]+)")
"""The beginning of a link to a file, to the end of its name."""


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Adds the pages from outside docs/."""
    for place, page in OUTSIDE.items():
        path = ROOT / place
        text = path.read_text(encoding="utf-8") if path.is_file() else listing(path)
        files.append(File.generated(config, page, content=text))


def listing(folder: Path) -> str:
    """A page with the programs of a folder."""
    programs = [f"## {file.name}\n\n```python\n{file.read_text('utf-8')}```\n" for file in sorted(folder.glob("*.py"))]
    return "\n".join([f"# {folder.name.capitalize()}\n", *programs])


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """The text with links from where the site has a page to where it has the others."""
    here = page.file.src_uri
    place = {page: place for place, page in OUTSIDE.items()}.get(here, f"docs/{here}")

    def in_site(link: re.Match[str]) -> str:
        there = normpath(join(dirname(place), link[1]))
        return f"]({relpath(OUTSIDE.get(there, there.removeprefix('docs/')), dirname(here) or '.')}"

    return LINK.sub(in_site, markdown)
