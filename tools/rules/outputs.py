"""Rules about stored outputs: there, complete, free of one machine's traces, and described."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nbformat import NotebookNode

from tools.notebook_form import tags
from tools.rules.page import Finding, Page, figure_of, statements, texts_of

SIZE_LIMIT = 300_000
MACHINE_TRACE = re.compile(
    r"\bat 0x[0-9a-fA-F]{6,}"
    r"|file:///"
    r"|(?<![\w.:/~-])/(?:home|root|tmp|Users|usr|opt|var|mnt|work|private|content)/[\w.-]+"
    r"|(?<!\w)[A-Z]:\\{1,2}(?:Users|Temp|Windows|Program)"
)
# Calls that leave an output whatever their arguments are.
SHOWING_CALLS = re.compile(
    r"print|display|plt\.(show|plot|subplots|figure|imshow|hist|scatter)|show\.(?!use_)\w+"
)
# Statements whose body may run later, or not at all.
COMPOUND = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.If,
    ast.For,
    ast.While,
    ast.Try,
    ast.With,
)
FILE_NAME = re.compile(r"\S+\.(png|svg|jpe?g|gif|webp|pdf)", re.IGNORECASE)
EMPTY_ALT = re.compile(r"!\[\s*\]\(")
ALT_LENGTH = 20


def counts(page: Page) -> Iterator[Finding]:
    """Code cells are counted 1 to n, as one run from top to bottom leaves them."""
    for count, (place, cell) in enumerate(page.code, 1):
        results = [out.execution_count for out in cell.outputs if out.output_type == "execute_result"]
        if cell.execution_count is None:
            yield place, "has not been executed; `make refresh` does it"
        elif {cell.execution_count, *results} != {count}:
            yield (
                place,
                f"bears the count {cell.execution_count} where {count} is due; `make refresh` mends it",
            )


def outputs_present(page: Page) -> Iterator[Finding]:
    """A cell that shows something has its output stored."""
    own = [cell for _, cell in page.code if not {"bootstrap", "setup"} & set(tags(cell))]
    if own and not any(cell.outputs for cell in own):
        yield None, "no cell has an output: were they cleared? `make refresh` brings them back"
        return
    for place, cell in page.code:
        if not cell.outputs and (shown := what_is_shown(cell)):
            yield place, f"has no output stored, but `{shown}` leaves one"
        elif "alt" in image_of(cell) and not has_image(cell):
            yield place, "has alt text, but its picture is missing"


def what_is_shown(cell: NotebookNode) -> str | None:
    """A piece of a cell's source that must leave an output, or None where that is not certain."""
    body = statements(cell)
    for statement in body:
        for node in ast.walk(statement) if not isinstance(statement, COMPOUND) else ():
            if isinstance(node, ast.Call) and SHOWING_CALLS.fullmatch(ast.unparse(node.func)):
                return ast.unparse(node)
    if not body or cell.source.rstrip().endswith(";"):
        return None
    # A call may return None, which shows nothing; a name, a sum or a comparison is written to be seen.
    match body[-1]:
        case ast.Expr(value=ast.Call() | ast.Await() | ast.Yield() | ast.IfExp() | ast.BoolOp()):
            return None
        case ast.Expr():
            return ast.unparse(body[-1])
    return None


def stderr(page: Page) -> Iterator[Finding]:
    """No cell writes to stderr: a warning is a defect to be mended, not a decoration."""
    for place, cell in page.code:
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                yield place, f"wrote to stderr: {output.text.strip()[:80]!r}"


def errors(page: Page) -> Iterator[Finding]:
    """A cell raises if and only if it is tagged raises-exception."""
    for place, cell in page.code:
        raised = [output for output in cell.outputs if output.output_type == "error"]
        expected = "raises-exception" in tags(cell)
        if raised and not expected:
            yield place, f"raised {raised[0].ename}, and is not tagged raises-exception"
        elif expected and not raised:
            yield place, "is tagged raises-exception, and raised nothing"


def machine_traces(page: Page) -> Iterator[Finding]:
    """Outputs hold no absolute paths and no memory addresses."""
    for place, cell in page.code:
        texts = (text for output in cell.outputs for text in texts_of(output))
        found = next(filter(None, map(MACHINE_TRACE.search, texts)), None)
        if found:
            yield place, f"its output holds a path or an address of one machine: {found[0]!r}"


def output_size(page: Page) -> Iterator[Finding]:
    """No cell stores more than 300,000 characters."""
    for place, cell in page.code:
        size = sum(len(str(output)) for output in cell.outputs)
        if size > SIZE_LIMIT:
            yield place, f"stores {size:,} characters of output; the limit is {SIZE_LIMIT:,}"


def alt_text(page: Page) -> Iterator[Finding]:
    """Every picture has alt text that tells a reader who cannot see it what it shows."""
    for place, cell in page.cells:
        if cell.cell_type == "markdown":
            if EMPTY_ALT.search(cell.source):
                yield place, "an image has no alt text"
        elif has_image(cell):
            alt = str(image_of(cell).get("alt") or "").strip()
            if not alt:
                yield place, "its picture has no alt text: set mystnb.image.alt in the cell's metadata"
            elif FILE_NAME.fullmatch(alt):
                yield place, f"its alt text is a file name: {alt!r}"
            elif len(alt) < ALT_LENGTH:
                yield (
                    place,
                    f"its alt text says too little ({len(alt)} characters of at least {ALT_LENGTH}): {alt!r}",
                )


def caption(page: Page) -> Iterator[Finding]:
    """Every picture has a caption and a name to link to."""
    for place, cell in page.code:
        if has_image(cell):
            if not str(figure_of(cell).get("caption") or "").strip():
                yield place, "its picture has no caption: set mystnb.figure.caption in the cell's metadata"
            if not str(figure_of(cell).get("name") or "").startswith("fig-"):
                yield (
                    place,
                    "its picture has no name that begins with fig-: set mystnb.figure.name in the metadata",
                )


def has_image(cell: NotebookNode) -> bool:
    """Whether a code cell shows a picture."""
    return any(mime.startswith("image/") for output in cell.outputs for mime in output.get("data", {}))


def image_of(cell: NotebookNode) -> dict:
    """The `image` entry of a cell's MyST-NB metadata, or an empty one."""
    return cell.metadata.get("mystnb", {}).get("image", {})
