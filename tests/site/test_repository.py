"""The two states of `repository.url`: buttons that lead somewhere, or no buttons."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import site

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = "book/2-core/04-example"


def small_book(folder: Path, **changes: dict) -> Path:
    """A book of one page and one notebook, under this book's configuration."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    config["sphinx"]["local_extensions"] = {"tools.site": str(ROOT)}
    for section, values in changes.items():
        config[section] = {**(config.get(section) or {}), **values}
    (folder / "book" / "2-core").mkdir(parents=True)
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    toc = {"format": "jb-book", "root": "book/index", "chapters": [{"file": CHAPTER}]}
    (folder / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf-8")
    (folder / "book" / "index.md").write_text(
        "# Small\n\nA page with a paragraph of its own, long enough.\n", encoding="utf-8"
    )
    shutil.copytree(ROOT / "book" / "assets", folder / "book" / "assets")
    shutil.copy(ROOT / "book" / "references.bib", folder / "book")
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    nb = new_notebook(
        cells=[new_markdown_cell("# Example\n\nText."), new_code_cell("1 + 1", execution_count=1)],
        metadata={"kernelspec": kernel, "language_info": {"name": "python", "pygments_lexer": "ipython3"}},
    )
    nbformat.write(nb, folder / f"{CHAPTER}.ipynb")
    return folder


def addresses(built: Path, page: str) -> list[str]:
    """The outside addresses a page links to."""
    return re.findall(r'href="(https?://[^"]+)"', (built / f"{page}.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("url", [None, "", site.default_repository()])
def test_an_address_nobody_gave_counts_as_none(url):
    config = SimpleNamespace(html_theme_options={"repository_url": url, "launch_buttons": {"colab_url": "x"}})
    site.settle_repository(None, config)
    assert config.html_theme_options == {
        "repository_url": "",
        "launch_buttons": {},
        "use_repository_button": False,
    }


def test_without_repository_there_are_no_buttons(builder, tmp_path):
    built = builder(small_book(tmp_path / "source", repository={"url": ""}), tmp_path)
    for page in ("book/index", CHAPTER):
        assert addresses(built, page) == []
        text = (built / f"{page}.html").read_text(encoding="utf-8")
        assert "colab" not in text.lower()
        assert "og:url" not in text
        assert 'rel="canonical"' not in text


def test_with_repository_the_buttons_lead_there(builder, tmp_path):
    book = small_book(
        tmp_path / "source",
        repository={"url": "https://github.com/owner/name", "branch": "trunk"},
        html={"baseurl": "https://example.org/book"},
    )
    built = builder(book, tmp_path)
    colab = f"https://colab.research.google.com/github/owner/name/blob/trunk/{CHAPTER}.ipynb"
    assert colab in addresses(built, CHAPTER)
    assert "https://github.com/owner/name" in addresses(built, CHAPTER)
    assert "https://github.com/owner/name" in addresses(built, "book/index")
    assert colab not in addresses(built, "book/index")
    text = (built / f"{CHAPTER}.html").read_text(encoding="utf-8")
    assert f'<meta property="og:url" content="https://example.org/book/{CHAPTER}.html" />' in text
    assert '<meta property="og:image" content="https://example.org/book/_static/social.png" />' in text
    assert (built / "_static" / "social.png").is_file()
