"""Check that built pages need nothing from outside: every script, style, image, font and frame lies in the build.

    python book/check_offline.py book/_build/html

Hyperlinks that a reader may click are free to point anywhere. Exit status 1 and one line for each fault.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {
    "audio": ("src",), "embed": ("src",), "iframe": ("src",), "image": ("href", "xlink:href"), "img": ("src", "srcset"),
    "input": ("src",), "link": ("href",), "object": ("data",), "script": ("src",), "source": ("src", "srcset"),
    "track": ("src",), "use": ("href", "xlink:href"), "video": ("src", "poster"),
}
NOT_FETCHED = {"author", "canonical", "next", "prev", "index", "search", "license", "alternate"}
CSS_URL = re.compile(r"""url\(\s*["']?([^"')]+)["']?\s*\)|@import\s+["']([^"']+)["']""")
REMOTE = re.compile(r"""["'`](?:https?:)?//[^"'`\s]+\.(?:js|mjs|css|json|woff2?)\b""")


class Page(HTMLParser):
    """Collects what a page fetches by itself: `references`, and the text of inline scripts in `scripts`."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the attributes that make a browser fetch something."""
        given = {name: value or "" for name, value in attrs}
        self._inside = tag if tag in ("script", "style") else ""
        self.references += css_references(given.get("style", ""))
        if tag == "link" and set(given.get("rel", "").lower().split()) & NOT_FETCHED:
            return
        for name in LOADED.get(tag, ()):
            if name == "srcset":
                self.references += [part.split()[0] for part in given.get(name, "").split(",") if part.strip()]
            elif given.get(name):
                self.references.append(given[name])

    def handle_endtag(self, tag: str) -> None:
        """Leave a script or a style."""
        self._inside = ""

    def handle_data(self, data: str) -> None:
        """Look into inline styles, and keep inline scripts."""
        if self._inside == "style":
            self.references += css_references(data)
        elif self._inside == "script":
            self.scripts.append(data)


def css_references(text: str) -> list[str]:
    """What a style sheet fetches."""
    return [first or second for first, second in CSS_URL.findall(text)]


def fault(reference: str, folder: Path, root: Path) -> str | None:
    """Why a reference made in `folder` fails with the network off, or None where it does not."""
    parts = urlsplit(reference.strip())
    if parts.scheme == "data" or not (parts.scheme or parts.netloc or parts.path):
        return None
    if parts.scheme or parts.netloc:
        return "outside the build"
    base = root if parts.path.startswith("/") else folder
    return None if (base / unquote(parts.path).lstrip("/")).exists() else "not in the build"


def pages(root: Path) -> list[Path]:
    """The built pages; what themes keep as templates among their static files is none."""
    return sorted(path for path in root.rglob("*.html") if "_static" not in path.relative_to(root).parts)


def faults(root: Path) -> Iterator[str]:
    """One line for each thing that a page or a style sheet below `root` would miss with the network off."""
    for path in pages(root):
        page = Page()
        page.feed(path.read_text("utf-8"))
        page.close()
        for reference in page.references:
            if why := fault(reference, path.parent, root):
                yield f"{path.relative_to(root)}: {reference}: {why}"
        for script in page.scripts:
            for found in REMOTE.findall(script):
                yield f"{path.relative_to(root)}: {found[1:]}: a script names it"
    for path in sorted(root.rglob("*.css")):
        for reference in css_references(path.read_text("utf-8")):
            if why := fault(reference, path.parent, root):
                yield f"{path.relative_to(root)}: {reference}: {why}"


def main(arguments: list[str]) -> int:
    """Check the folder named on the command line."""
    if len(arguments) != 1 or not (root := Path(arguments[0])).is_dir():
        print("usage: check_offline.py FOLDER_OF_BUILT_PAGES", file=sys.stderr)
        return 2
    found = list(faults(root))
    for line in found:
        print(line, file=sys.stderr)
    if not pages(root):
        print(f"{root}: no pages", file=sys.stderr)
        return 1
    print(f"offline check: {len(pages(root))} pages, {len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
