"""Every page of the built site, in a real browser."""

from __future__ import annotations

import copy
import re

import pytest

CONTENT = "article.bd-article"


PHONE = 390

FORMULAS = """() => ({
    sources: document.querySelectorAll("article .math").length,
    set: document.querySelectorAll("article .math mjx-container").length,
    errors: document.querySelectorAll("mjx-merror").length,
    raw: [...document.querySelectorAll("article :is(p, li, td, dd, figcaption)")]
        .map(e => { const c = e.cloneNode(true);
                    c.querySelectorAll("code, pre, mjx-container").forEach(x => x.remove());
                    return c.textContent; })
        .filter(t => /\\\\\\(|\\\\\\[|\\$\\$|\\\\frac|\\\\sqrt/.test(t)),
})"""

# Elements wider than a phone with nothing around them to scroll in.
TOO_WIDE = """content => [...document.querySelectorAll(content + " *")].filter(e => {
    if (e.getBoundingClientRect().right <= innerWidth + 1) return false;
    if (e.closest("mjx-container, .tooltip, svg")) return false;
    for (let p = e; p; p = p.parentElement)
        if (["auto", "scroll"].includes(getComputedStyle(p).overflowX)) return false;
    return true;
}).map(e => e.tagName + " " + e.textContent.slice(0, 40))"""

PICTURES = """content => [
    ...[...document.querySelectorAll(content + " img")].map(i => i.alt),
    ...[...document.querySelectorAll(content + " svg[role=img]")]
        .map(s => document.getElementById(s.getAttribute("aria-labelledby"))?.textContent || ""),
]"""


def violations(tab):
    """What axe finds serious or critical in the article; the frame around it is the theme's."""
    reason = "axe-playwright-python is missing"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason).Axe()
    found = axe.run(tab, context={"include": [[CONTENT]]}).response["violations"]
    return [
        f"{item['id']}: {node['html'][:120]}"
        for item in found
        if item["impact"] in ("serious", "critical")
        for node in item["nodes"][:3]
    ]


@pytest.fixture(scope="module")
def looks():
    """What was seen on each page, so that each is opened once."""
    return {}


@pytest.fixture
def look(page, server, open_tab, looks):
    """A page opened from the server: light, then dark, then at the width of a phone."""
    if page not in looks:
        tab, visit = open_tab(f"{server}/{page}.html")
        seen = {
            "visit": copy.deepcopy(visit),  # before axe, which asks for style sheets of its own accord
            "formulas": tab.evaluate(FORMULAS),
            "pictures": tab.evaluate(PICTURES, CONTENT),
            "light": violations(tab),
        }
        tab.emulate_media(color_scheme="dark")
        tab.wait_for_function("document.documentElement.dataset.theme == 'dark'")
        seen["dark"] = violations(tab)
        tab.set_viewport_size({"width": PHONE, "height": 844})
        seen["width"] = tab.evaluate("document.documentElement.scrollWidth")
        seen["too wide"] = tab.evaluate(TOO_WIDE, CONTENT)
        looks[page] = seen
    return looks[page]


def check_formulas(formulas):
    assert formulas["set"] >= formulas["sources"], "a formula is not set"
    assert not formulas["raw"], "mathematics shows as source"
    assert not formulas["errors"], "MathJax reports an error in a formula"


def test_page_is_quiet_and_asks_nobody_else(look):
    visit = look["visit"]
    assert not visit.external, "the page asks other servers for something"
    assert not visit.failed
    assert not visit.problems


def test_mathematics_is_set(look):
    check_formulas(look["formulas"])


def test_page_from_disk(page, site, open_tab):
    tab, visit = open_tab((site / f"{page}.html").as_uri())
    assert not visit.external
    assert not visit.failed
    assert not visit.problems
    check_formulas(tab.evaluate(FORMULAS))


def test_phone_width(look):
    assert look["width"] <= PHONE, "the page scrolls sideways"
    assert not look["too wide"]


def test_pictures_are_described(look):
    for text in look["pictures"]:
        assert len(text) > 15, f"a description that says nothing: {text!r}"
        assert not re.search(r"\.(png|svg|jpe?g)$|/", text), f"a file name is no description: {text!r}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(look, scheme):
    assert not look[scheme]


def test_dark_mode(server, open_tab):
    tab, _ = open_tab(f"{server}/book/index.html")
    colour = "getComputedStyle(document.body).backgroundColor"
    before = tab.evaluate(colour)
    # The switch goes round auto, light, dark.
    for _ in range(3):
        tab.locator(".theme-switch-button:visible").first.click()
        if tab.evaluate("document.documentElement.dataset.theme") == "dark":
            break
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    assert tab.evaluate(colour) != before
    cover = tab.evaluate("getComputedStyle(document.querySelector('.abe-cover')).color")
    assert min(int(part) for part in re.findall(r"\d+", cover)[:3]) > 180, "the cover's letters stay dark"


def test_keyboard_reaches_the_content(server, open_tab):
    tab, _ = open_tab(f"{server}/book/index.html")
    tab.keyboard.press("Tab")
    assert "Skip to main content" in tab.evaluate("document.activeElement.textContent")
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    inside = "document.activeElement.closest('#main-content') !== null"
    for _ in range(12):
        if tab.evaluate(f"{inside} && document.activeElement.closest('article') !== null"):
            break
        assert tab.evaluate(inside), "Tab leaves the content after the skip link"
        tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.closest('article') !== null")
    outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "focus is not visible"


@pytest.mark.parametrize("where", ["server", "disk"])
def test_search(where, site, server, open_tab):
    base = server if where == "server" else site.as_uri()
    tab, visit = open_tab(f"{base}/search.html")
    field = tab.locator("#search-input:visible, input[name=q]:visible").first
    field.fill("softmax")
    field.press("Enter")
    tab.wait_for_selector("#search-results li a", timeout=10_000)
    titles = tab.locator("#search-results li a").all_text_contents()
    assert any("Glossary" in title or "otation" in title for title in titles)
    assert not visit.external
    if (
        where == "server"
    ):  # from disk the titles are found, but a browser may not read pages for their excerpts
        assert not visit.problems


def test_copy_button_takes_only_the_code(notebook_page, server, open_tab):
    tab, _ = open_tab(f"{server}/{notebook_page}.html")
    assert tab.locator(".cell_input button.copybtn").count() > 0
    printed = ".cell_output :is(.highlight-myst-ansi, .highlight-none) button.copybtn"
    assert tab.locator(printed).count() == 0, "printed output offers itself for copying"
