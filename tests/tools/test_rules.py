"""Every static rule is broken by a notebook that is otherwise good, and reports that and nothing else."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from tools.notebook_form import BOOTSTRAP_WITHOUT_URL, NotebookError, number_cells, serialise, tags
from tools.rules import CHAPTER, GENERAL, Book, Page, check
from tools.rules.outputs import MACHINE_TRACE, what_is_shown
from tools.rules.page import code_lines
from tools.rules.papers import papers_in, papers_in_bibliography

MUTATIONS = []


def breaks(rule, defect):
    """Mark a function that takes a good notebook and gives it a defect against one rule."""

    def register(mutate):
        MUTATIONS.append(pytest.param(rule, mutate, id=f"{rule}: {defect}"))
        return mutate

    return register


def the(nb, *wanted, code=True):
    """The first cell that has a tag or a piece of source."""
    kind = "code" if code else "markdown"
    return next(
        c for c in nb.cells if c.cell_type == kind and all(w in tags(c) or w in c.source for w in wanted)
    )


def add_prose(nb, text):
    the(nb, "limits", code=False).source += f"\n\n{text}"


def lengthen(cell, lines):
    cell.source = "# more\n" * (lines - code_lines(cell)) + cell.source


def found_rules(text, book):
    return {problem.rule for problem in check(Page(text, book))}


@breaks("kind", "no kind")
def _(nb):
    del nb.metadata["book"]


@breaks("known-tags", "a tag spelt wrongly")
def _(nb):
    the(nb, "for head_dim").metadata.tags = ["hide_input"]


@breaks("known-tags", "a cell that is never run")
def _(nb):
    the(nb, "for head_dim").metadata.tags = ["nbval-skip"]


@breaks("known-tags", "a comment that steers the comparison")
def _(nb):
    the(nb, "for head_dim").source = "# NBVAL_IGNORE_OUTPUT\n" + the(nb, "for head_dim").source


@breaks("bootstrap", "edited by hand")
def _(nb):
    the(nb, "bootstrap").source += "  # improved"


@breaks("bootstrap", "shown on the site")
def _(nb):
    the(nb, "bootstrap").metadata.tags = ["bootstrap"]


@breaks("bootstrap", "missing")
def _(nb):
    nb.cells.remove(the(nb, "bootstrap"))
    number_cells(nb)


@breaks("normal-form", "metadata of an editor")
def _(nb):
    the(nb, "setup").metadata.scrolled = True


@breaks("normal-form", "the Python version of one machine")
def _(nb):
    nb.metadata.language_info.version = "3.11.7"


@breaks("normal-form", "an empty cell at the end")
def _(nb):
    nb.cells.append(new_markdown_cell("", id="empty"))


@breaks("counts", "a cell without a count")
def _(nb):
    the(nb, "claims").execution_count = None


@breaks("counts", "cells run out of order")
def _(nb):
    the(nb, "claims").execution_count += 1


@breaks("counts", "a result from an earlier run")
def _(nb):
    the(nb, "show.source").outputs[0].execution_count += 1


@breaks("outputs-present", "a shown object whose output was cleared")
def _(nb):
    the(nb, "show.source").outputs = []


@breaks("outputs-present", "a last expression whose output was cleared")
def _(nb):
    cell = the(nb, "small_query =")
    cell.source, cell.outputs = cell.source + ".shape", []


@breaks("outputs-present", "a described picture that was cleared")
def _(nb):
    cell = the(nb, "def largest")
    cell.source = cell.source.replace("plt.show()", "").replace("show.curves(", "_ = (").rstrip()
    cell.outputs = []


@breaks("stderr", "a warning")
def _(nb):
    the(nb, "for head_dim").outputs.append(new_output("stream", name="stderr", text="UserWarning: look out"))


@breaks("errors", "an exception nobody announced")
def _(nb):
    the(nb, "for head_dim").outputs.append(
        new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])
    )


@breaks("errors", "an announced exception that did not come")
def _(nb):
    the(nb, "for head_dim").metadata.tags = ["raises-exception"]


@breaks("machine-traces", "a home folder")
def _(nb):
    the(nb, "for head_dim").outputs[0].text += "read /home/ada/data.txt"


@breaks("machine-traces", "a memory address")
def _(nb):
    the(nb, "for head_dim").outputs[0].text += "<function f at 0x7f3a5c1d2e50>"


@breaks("output-size", "a log without end")
def _(nb):
    the(nb, "for head_dim").outputs[0].text += "step\n" * 70_000


@breaks("alt-text", "none")
def _(nb):
    the(nb, "def largest").metadata.mystnb.image.alt = ""


@breaks("alt-text", "a file name")
def _(nb):
    the(nb, "def largest").metadata.mystnb.image.alt = "../_images/largest-weight-by-size.png"


@breaks("alt-text", "two words")
def _(nb):
    the(nb, "def largest").metadata.mystnb.image.alt = "Two curves."


@breaks("alt-text", "an image in markdown without any")
def _(nb):
    add_prose(nb, "![](picture.svg)")


@breaks("caption", "none")
def _(nb):
    the(nb, "def largest").metadata.mystnb.figure.caption = ""


@breaks("caption", "no name to link to")
def _(nb):
    the(nb, "def largest").metadata.mystnb.figure.name = "growth"


@breaks("numbers", "stale in prose")
def _(nb):
    cell = the(nb, "typed by hand", code=False)
    cell.source = cell.source.replace("0.34<!--", "0.35<!--")


@breaks("numbers", "stale in a caption")
def _(nb):
    figure = the(nb, "def scaled_weights").metadata.mystnb.figure
    figure.caption = figure.caption.replace("0.34<!--", "0.35<!--")


@breaks("numbers", "a name nobody records")
def _(nb):
    add_prose(nb, "It is 0.3<!--=w_min:.1f-->.")


@breaks("numbers", "a marker without an end")
def _(nb):
    add_prose(nb, "It is 0.3<!--=w_max:.1f.")


@breaks("portable-markdown", "a role")
def _(nb):
    add_prose(nb, "See {ref}`there`.")


@breaks("portable-markdown", "a citation")
def _(nb):
    add_prose(nb, "See {cite:t}`vaswani2017`.")


@breaks("portable-markdown", "a colon fence")
def _(nb):
    add_prose(nb, ":::{note}\nIndeed.\n:::")


@breaks("portable-markdown", "a directive")
def _(nb):
    add_prose(nb, "```{note}\nIndeed.\n```")


@breaks("portable-markdown", "a label")
def _(nb):
    the(nb, "limits", code=False).source = "(limits)=\n" + the(nb, "limits", code=False).source


@breaks("filler", "praise")
def _(nb):
    add_prose(nb, "Attention is a powerful idea.")


@breaks("paper-links", "a paper missing from the bibliography")
def _(nb):
    add_prose(nb, "See [Devlin et al. 2019](https://aclanthology.org/N19-1423/).")


@breaks("cell-length", "26 lines in sight")
def _(nb):
    lengthen(the(nb, "for head_dim"), 26)


@breaks("cell-length", "61 lines out of sight")
def _(nb):
    the(nb, "for head_dim").metadata.tags = ["hide-input"]
    lengthen(the(nb, "for head_dim"), 61)


@breaks("cell-length", "most cells longer than eight lines")
def _(nb):
    for cell in nb.cells:
        if cell.cell_type == "code" and not {"bootstrap", "setup", "claims"} & set(tags(cell)):
            lengthen(cell, 9)


def test_blank_lines_are_not_counted(template, book):
    for cell in template.cells:
        if cell.cell_type == "code" and not {"bootstrap", "claims"} & set(tags(cell)):
            cell.source = cell.source.replace("\n", "\n\n" * 12)
    assert not {"cell-length", "setup"} & found_rules(serialise(template), book)


@breaks("prose-before-code", "two code cells in a row")
def _(nb):
    nb.cells.remove(the(nb, "asserted, one assert a sentence", code=False))


@breaks("opening", "no question")
def _(nb):
    the(nb, "question", code=False).source = "# Template\n\nA statement."


@breaks("opening", "no title")
def _(nb):
    the(nb, "question", code=False).source = "## Template\n\nA question?"


@breaks("opening", "something else comes first")
def _(nb):
    nb.cells.insert(0, new_markdown_cell("A motto.", id="motto"))


@breaks("sections", "one missing")
def _(nb):
    the(nb, "limits", code=False).metadata.pop("tags")


@breaks("sections", "one twice")
def _(nb):
    the(nb, "typed by hand", code=False).metadata.tags = ["limits"]


@breaks("sections", "two exchanged")
def _(nb):
    first, second = the(nb, "often-said", code=False), the(nb, "limits", code=False)
    first.metadata.tags, second.metadata.tags = ["limits"], ["often-said"]


@breaks("setup", "missing")
def _(nb):
    the(nb, "setup").metadata.pop("tags")


@breaks("setup", "too long")
def _(nb):
    lengthen(the(nb, "setup"), 9)


@breaks("setup", "without a seed")
def _(nb):
    the(nb, "setup").source = "import torch"


@breaks("claims", "none")
def _(nb):
    the(nb, "claims").metadata.pop("tags")


@breaks("claims", "an assert that says nothing")
def _(nb):
    the(nb, "claims").source = "assert largest(4, 1.0, 1) > 0"


@breaks("claims", "more than asserts")
def _(nb):
    the(nb, "claims").source += "\nx = 1"


@breaks("exercises", "too few")
def _(nb):
    at = nb.cells.index(the(nb, "Exercise 0.3", code=False))
    del nb.cells[at : at + 3]


@breaks("exercises", "a heading without its kind")
def _(nb):
    cell = the(nb, "Exercise 0.3", code=False)
    cell.source = cell.source.replace(" (break)", "")


@breaks("exercises", "a starter without a check")
def _(nb):
    cell = the(nb, "exercise", 'show.check("0.2"')
    cell.source, cell.outputs = "answer = None", []


@breaks("exercises", "the check of another exercise")
def _(nb):
    cell = the(nb, "exercise", 'show.check("0.2"')
    cell.source = cell.source.replace('"0.2"', '"0.3"')


@breaks("exercises", "a solution that is not correct")
def _(nb):
    the(nb, "solution", '"0.2"').outputs[0].text = "Exercise 0.2: not yet. The weights still differ.\n"


@breaks("exercises", "no solution")
def _(nb):
    nb.cells.remove(the(nb, "solution", '"0.3"'))


@breaks("exercises", "a solution in plain sight")
def _(nb):
    the(nb, "solution", '"0.2"').metadata.tags = ["solution"]


def test_template_breaks_no_rule(template, book):
    assert found_rules(serialise(template), book) == set()


@pytest.mark.parametrize(("rule", "mutate"), MUTATIONS)
def test_defect_is_reported_and_nothing_else(rule, mutate, template, book):
    mutate(template)
    assert found_rules(serialise(template), book) == {rule}


def test_every_rule_is_tested_and_documented():
    rules = {rule.__name__.replace("_", "-"): rule for rule in GENERAL + CHAPTER}
    assert {param.values[0] for param in MUTATIONS} == set(rules)
    assert all(rule.__doc__ for rule in rules.values())


def test_cleared_notebook_is_not_mistaken_for_a_silent_one(template, book):
    for cell in template.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    assert {"outputs-present", "counts"} <= found_rules(serialise(template), book)


def test_page_needs_no_chapter_structure(template, book):
    template.metadata.book.kind = "page"
    for tag in ("limits", "often-said"):
        template.cells.remove(the(template, tag, code=False))
    template.cells.remove(the(template, "solution", '"0.3"'))
    the(template, "claims").metadata.pop("tags")
    for count, cell in enumerate((c for c in template.cells if c.cell_type == "code"), 1):
        assert cell.execution_count == count
    assert found_rules(serialise(template), book) == set()


def test_message_tells_place_and_rule(template, book):
    the(template, "claims").execution_count = None
    (problem,) = check(Page(serialise(template), book))
    place = template.cells.index(the(template, "claims")) + 1
    assert str(problem) == f"cell {place}: [counts] has not been executed; `make refresh` does it"


def test_bootstrap_follows_the_repository(template, book):
    home = Book({"url": "https://example.org/book"}, book.papers)
    assert found_rules(serialise(template), home) == {"bootstrap"}


@pytest.mark.parametrize("text", ["not json", "[]", '{"nbformat": 3}', '{"nbformat": 4, "cells": [{}]}'])
def test_what_is_no_notebook_is_refused(text, book):
    with pytest.raises(NotebookError, match="not a (valid )?notebook"):
        list(check(Page(text, book)))


@pytest.mark.parametrize(
    "source",
    [
        "x",
        "x.shape",
        "a + b",
        "print(1)",
        "y = 1\nx[0]",
        "plt.show()",
        "show.source(f)",
        "_, ax = plt.subplots()",
    ],
)
def test_source_that_must_leave_an_output(source):
    assert what_is_shown(new_code_cell(source)) is not None


@pytest.mark.parametrize(
    "source",
    [
        "x = 1",
        "x;",
        "f(x)",
        "for i in items:\n    print(i)",
        "def f():\n    print(1)",
        "import torch",
        "assert x, 'x'",
        "show.use_style()",
        "%pip install x",
        "await g()",
        "debug and x",
        "",
    ],
)
def test_source_that_may_be_silent(source):
    assert what_is_shown(new_code_cell(source)) is None


@pytest.mark.parametrize(
    "text",
    ["/root/x", "'/tmp/a'", r"C:\Users\Ada", "file:///x", "object at 0xdeadbeef", "in /Users/ada/book/a.py"],
)
def test_trace_of_a_machine(text):
    assert MACHINE_TRACE.search(text)


@pytest.mark.parametrize(
    "text", ["https://x.org/home/page", "and/or", "a/tmp/b", "0x7f", "1/2", "../tmp/x", r"X:\mathbb{R}"]
)
def test_no_trace_of_a_machine(text):
    assert not MACHINE_TRACE.search(text)


def test_paper_is_known_by_url_doi_or_arxiv_number():
    bibliography = """
        @article{a, url = {http://arxiv.org/abs/1409.0473v7}}
        @article{b, doi = "10.1162/NECO.1997.9.8.1735"}
        @misc{c, eprint = {1810.04805}, archivePrefix = {arXiv}}
        @inproceedings{d, url={https://openreview.net/forum?id=abc}}
    """
    text = (
        "[a](https://www.arxiv.org/pdf/1409.0473.pdf), [b](https://dx.doi.org/10.1162/neco.1997.9.8.1735); "
        "[c](https://arxiv.org/abs/1810.04805v2)/[d](https://openreview.net/pdf?id=abc)."
    )
    assert set(papers_in(text)) == papers_in_bibliography(bibliography)
    assert len(papers_in(text)) == 4


def test_other_addresses_are_no_papers():
    assert papers_in("[site](https://pytorch.org/docs) <https://example.org/arxiv.org/abs/1>") == {}


def test_bootstrap_of_the_template_is_the_one_without_a_repository(template):
    assert the(template, "bootstrap").source == BOOTSTRAP_WITHOUT_URL
