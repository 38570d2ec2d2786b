"""One spelling for the addresses of papers, so that links can be looked up in the bibliography."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

PAPER_HOST = re.compile(r"(arxiv|doi|aclanthology)\.org|openreview\.net|papers\.nips\.cc|proceedings\..+")
URL = re.compile(r"https?://[^\s<>\"'\]\\^`{|}]+")
ARXIV_PATH = re.compile(r"/(?:abs|pdf|html)/(?P<id>.+?)(?:v\d+)?(?:\.pdf)?")
BIB_FIELD = re.compile(r"\b(?P<name>doi|eprint)\s*=\s*[{\"](?P<value>[^}\"]+)[}\"]", re.IGNORECASE)


def canonical(url: str) -> str:
    """An address without what does not tell papers apart.

    >>> canonical("http://www.arxiv.org/pdf/1706.03762v7.pdf")
    'arxiv.org/abs/1706.03762'
    >>> canonical("https://dx.doi.org/10.1162/NECO.1997.9.8.1735/")
    'doi.org/10.1162/neco.1997.9.8.1735'
    """
    parts = urlsplit(url)
    host = parts.netloc.lower().removeprefix("www.").removeprefix("dx.")
    path = unquote(parts.path).rstrip("/")
    if host == "arxiv.org" and (match := ARXIV_PATH.fullmatch(path)):
        path = f"/abs/{match['id']}"
    elif host == "doi.org":
        path = path.lower()
    elif host == "openreview.net":
        path = path.replace("/pdf", "/forum")
    elif host == "aclanthology.org":
        path = path.removesuffix(".pdf")
    return f"{host}{path}" + (f"?{parts.query}" if parts.query else "")


def urls_in(text: str) -> Iterator[str]:
    """The web addresses in a text, without the bracket or the full stop that follows them.

    >>> list(urls_in("([a](https://doi.org/10.1016/0364-0213(90)90002-E)), https://arxiv.org/abs/1409.0473."))
    ['https://doi.org/10.1016/0364-0213(90)90002-E', 'https://arxiv.org/abs/1409.0473']
    """
    for match in URL.finditer(text):
        url, depth = match[0], 0
        for i, character in enumerate(url):
            depth += (character == "(") - (character == ")")
            if depth < 0:
                url = url[:i]
                break
        yield url.rstrip(".,;:!?*")


def papers_in(text: str) -> dict[str, str]:
    """The papers a text links to: address as written, by canonical address."""
    found = {canonical(url): url for url in urls_in(text)}
    return {paper: url for paper, url in found.items() if PAPER_HOST.fullmatch(paper.split("/")[0])}


def papers_in_bibliography(text: str) -> frozenset[str]:
    """The canonical addresses that a BibTeX file gives as URL, DOI or arXiv number."""
    prefix = {"doi": "https://doi.org/", "eprint": "https://arxiv.org/abs/"}
    fields = (canonical(prefix[m["name"].lower()] + m["value"]) for m in BIB_FIELD.finditer(text))
    return frozenset({*papers_in(text), *fields})
