"""Links, anchors, downloads and page metadata of the built site; no browser needed."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import nbformat
import pytest


class _Page(HTMLParser):
    """Collect what a page refers to and what can be referred to in it."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {"", "top"}
        self.meta: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors.update(values[key] for key in ("id", "name") if values.get(key))
        if tag in ("a", "link", "img", "script", "source"):
            self.links += [values[key] for key in ("href", "src") if values.get(key)]
        if tag == "meta":
            key = values.get("property") or values.get("name") or ""
            self.meta[key] = values.get("content", "")


@pytest.fixture(scope="module")
def pages(site):
    skipped = {"_static", "_sources"}
    return {
        path: _Page(path.read_text(encoding="utf-8"))
        for path in site.rglob("*.html")
        if not skipped & set(path.relative_to(site).parts)
    }


def test_internal_links_resolve(pages, site):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                broken.append(f"{path.relative_to(site)}: {link}")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                broken.append(f"{path.relative_to(site)}: no anchor for {link}")
    assert not broken


def test_nothing_is_loaded_from_elsewhere(pages, site):
    loads = re.compile(
        r"<(?:script|img|iframe|link|source)\b[^>]*?\b(?:src|href)=\"(?:https?:)?//[^\"]*", re.IGNORECASE
    )
    allowed = re.compile(r"rel=\"(canonical|license)\"")
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert not [m for m in loads.findall(text) if not allowed.search(m)], path.relative_to(site)
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"url\(['\"]?(https?:)?//", text), sheet.relative_to(site)


def test_mathjax_is_lean(site):
    folder = site / "_static" / "mathjax"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert (folder / "tex-chtml.js").is_file()
    assert len(list(folder.rglob("*.woff"))) > 10
    assert size < 2_500_000, "more of MathJax than the pages use"


def test_notebook_page_offers_itself(notebook_page, pages, site):
    path = site / f"{notebook_page}.html"
    name = f"{notebook_page.rsplit('/', 1)[-1]}-self-contained.ipynb"
    links = [link for link in pages[path].links if link.endswith(name)]
    assert len(links) == 2, "one link under the title, one in the download menu"
    assert "Self-contained notebook (.ipynb)" in path.read_text(encoding="utf-8")
    nbformat.validate(nbformat.read((path.parent / links[0]).resolve(), as_version=4))
    assert any(link.endswith(f"{notebook_page}.ipynb") for link in pages[path].links), (
        "the notebook as committed"
    )


def test_companion_files_keep_their_names(notebook_page, pages, site):
    path = site / f"{notebook_page}.html"
    source = (site / "_sources" / f"{notebook_page}.ipynb").read_text(encoding="utf-8")
    wanted = set(re.findall(r"\]\([./]*companion/(\w+\.py)\)", source))
    offered = {link.rsplit("/", 1)[-1] for link in pages[path].links if link.endswith(".py")}
    assert wanted <= offered
    line = re.search(r'class="run-line.*?</div>', path.read_text(encoding="utf-8"), re.DOTALL)
    assert line, "no line under the title says how to run the page"
    assert wanted <= set(re.findall(r"companion/(\w+\.py)", line[0]))


def test_every_page_describes_itself(page, pages, site):
    meta = pages[site / f"{page}.html"].meta
    assert len(meta["og:title"]) > 3
    assert len(meta["description"]) > 40
    assert meta["og:description"] == meta["description"]
    for key in ("og:url", "og:image"):
        assert key not in meta or meta[key].startswith("https://"), f"{key} needs the site's public address"


def test_front_page_redirects(site):
    assert "book/index.html" in (site / "index.html").read_text(encoding="utf-8")
    assert (site / "_static" / "favicon.svg").is_file()
