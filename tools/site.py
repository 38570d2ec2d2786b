"""What this book adds to Jupyter Book: a local Sphinx extension.

* MathJax is served by the site itself: one script and its fonts, out of an installed package.
* The repository and Colab buttons appear when `_config.yml` names a repository, and only then.
* Every notebook page offers a self-contained notebook and the companion files its text links to.
* Every page describes itself to search engines and link previews, without an address nobody configured.
"""

from __future__ import annotations

import html
import re
from importlib.metadata import files
from pathlib import Path
from urllib.parse import urljoin

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError
from sphinx.util.osutil import relative_uri

from tools import selfcontained

MATHJAX_FILES = re.compile(r"static/mathjax/(tex-chtml\.js|output/chtml/fonts/woff-v2/[\w-]+\.woff)$")
NOTEBOOK_FOLDER = "_downloads/self-contained"
MENU_LABEL = "Self-contained notebook (.ipynb)"
DESCRIPTION_LENGTH = 200


def default_repository() -> str:
    """The repository that Jupyter Book assumes for books that name none: its own."""
    import yaml
    from jupyter_book.config import PATH_YAML_DEFAULT

    return yaml.safe_load(PATH_YAML_DEFAULT.read_text(encoding="utf-8"))["repository"]["url"]


def settle_repository(app: Sphinx, config: Config) -> None:
    """Switch the buttons that need a repository on or off, all together."""
    options = config.html_theme_options
    known = options.get("repository_url") not in (None, "", default_repository())
    options["use_repository_button"] = known
    if not known:
        options["launch_buttons"] = {}
        options["repository_url"] = ""


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Copy the one MathJax script the pages load, and its fonts, from the installed package."""
    if exception or app.builder.format != "html":
        return
    copied = 0
    for entry in files("sphinx-mathjax-offline") or []:
        found = MATHJAX_FILES.search(entry.as_posix())
        if found:
            target = Path(app.outdir, "_static", "mathjax", found[1])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(entry.locate().read_bytes())
            copied += 1
    if copied < 2:
        raise ExtensionError(
            "sphinx-mathjax-offline holds no tex-chtml.js with fonts: is it installed whole?"
        )


def is_notebook(app: Sphinx, docname: str) -> bool:
    """Whether a page is written as a notebook."""
    return Path(app.env.doc2path(docname)).suffix == ".ipynb"


def notebook_uri(docname: str) -> str:
    """Where the self-contained copy of a page's notebook lies, from the site's root."""
    return f"{NOTEBOOK_FOLDER}/{docname.rsplit('/', 1)[-1]}-self-contained.ipynb"


def add_run_line(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put one line under a notebook page's title: what to download to run it, what to copy."""
    title = next(doctree.findall(nodes.title), None)
    if app.builder.format != "html" or title is None or not is_notebook(app, docname):
        return
    uri = relative_uri(app.builder.get_target_uri(docname), notebook_uri(docname))
    link = nodes.reference("", "download the self-contained notebook", refuri=uri, internal=True)
    line = nodes.paragraph("", "", nodes.strong("", "Run it:"), nodes.Text(" "), link)
    companion = {
        node["reftarget"].rsplit("/", 1)[-1]: node
        for node in doctree.findall(addnodes.download_reference)
        if re.search(r"(^|/)companion/\w+\.py$", node["reftarget"]) and "filename" in node
    }
    for number, (name, node) in enumerate(companion.items()):
        copy = node.copy()
        copy += nodes.literal("", f"companion/{name}")
        line += (
            [nodes.Text(", ")] if number else [nodes.Text(" · "), nodes.strong("", "Copy:"), nodes.Text(" ")]
        )
        line += copy
    box = nodes.container("", line, classes=["run-line"])
    title.parent.insert(title.parent.index(title) + 1, box)


def add_menu_entry(
    app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None
) -> None:
    """Offer the self-contained notebook in the header's download menu."""
    if doctree is None or not is_notebook(app, pagename):
        return
    for group in context.get("header_buttons", []):
        if group.get("label") == "download-buttons":
            group["buttons"].insert(
                1,
                {
                    "type": "link",
                    "url": context["pathto"](notebook_uri(pagename), 1),
                    "text": MENU_LABEL,
                    "tooltip": "Download a notebook that carries the companion's source",
                    "icon": "fas fa-box",
                    "label": "download-self-contained-button",
                },
            )


def description(doctree: nodes.document) -> str:
    """The first paragraph of a page's own text, cut at a word."""
    for paragraph in doctree.findall(nodes.paragraph):
        if "run-line" in paragraph.parent.get("classes", []):
            continue
        text = " ".join(paragraph.astext().split())
        if len(text) > 40:
            return (
                text
                if len(text) <= DESCRIPTION_LENGTH
                else text[:DESCRIPTION_LENGTH].rsplit(" ", 1)[0] + " …"
            )
    return ""


def add_metadata(
    app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None
) -> None:
    """Describe the page to search engines and previews; addresses only if the site's own is configured."""
    if doctree is None:
        return
    home = app.config.html_baseurl
    title = html.unescape(re.sub(r"<[^>]+>", "", context.get("title", "")))
    if pagename == app.config.root_doc:
        context["docstitle"] = ""  # the page's title is the book's already
    tags = {
        "og:title": title,
        "og:type": "article" if pagename != app.config.root_doc else "website",
        "og:site_name": app.config.html_title,
    }
    stated = re.search(r'<meta content="([^"]*)" name="description"', context.get("metatags", ""))
    text = html.unescape(stated[1]) if stated else description(doctree)
    if text:
        tags["og:description"] = text
    if home:
        home = home.rstrip("/") + "/"
        tags["og:url"] = urljoin(home, app.builder.get_target_uri(pagename))
        tags["og:image"] = urljoin(home, "_static/social.png")
        tags["og:image:alt"] = "The letters of the book's title, joined by arcs of attention."
    lines = [f'<meta property="{key}" content="{html.escape(value)}" />' for key, value in tags.items()]
    if text and not stated:
        lines.append(f'<meta name="description" content="{html.escape(text)}" />')
    lines.append(f'<meta name="twitter:card" content="{"summary_large_image" if home else "summary"}" />')
    context["metatags"] = context.get("metatags", "") + "\n".join(lines) + "\n"


def mend_citation_list(
    app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None
) -> None:
    """Make the bibliography a proper list: docutils gives its entries a role that lists may not hold."""
    if 'class="citation-list"' in context.get("body", ""):
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def write_notebooks(app: Sphinx, exception: Exception | None) -> None:
    """Write the self-contained copy of every notebook page."""
    if exception or app.builder.format != "html":
        return
    written: dict[str, str] = {}
    for docname in sorted(app.env.found_docs):
        if not is_notebook(app, docname):
            continue
        uri = notebook_uri(docname)
        if uri in written:
            raise ExtensionError(f"two pages share a file name: {written[uri]} and {docname}")
        written[uri] = docname
        selfcontained.write(Path(app.env.doc2path(docname)), Path(app.outdir, uri), Path(app.srcdir))


def setup(app: Sphinx) -> dict[str, object]:
    """Register the handlers."""
    app.connect("config-inited", settle_repository)
    app.connect("doctree-resolved", add_run_line)
    app.connect("html-page-context", add_menu_entry, priority=600)
    app.connect("html-page-context", add_metadata, priority=600)
    app.connect("html-page-context", mend_citation_list)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", write_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
