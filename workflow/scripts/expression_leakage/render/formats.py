"""Numbers and tables as text: formatted once, escaped for each language they end up in."""

import html
import math
import re

import pandas as pd

MISSING = "–"
MINUS = "−"  # a spreadsheet takes a cell that begins with "-" for a formula

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    MINUS: "$-$", MISSING: "--", "×": r"$\times$", "±": r"$\pm$",
}  # fmt: skip
_MARKDOWN = re.compile(r"([\\`*_|<>&~#!])")
# A spreadsheet runs such a cell as a formula; white space before the sign does not stop them all.
_FORMULA = re.compile(r"[\t\r]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]+")
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem; color: #222; }}
table {{ border-collapse: collapse; }}
caption {{ caption-side: top; text-align: left; max-width: 60rem; padding-bottom: .8rem; }}
thead th {{ border-bottom: 2px solid #222; text-align: left; }}
th, td {{ padding: .3rem .7rem; vertical-align: top; font-variant-numeric: tabular-nums; }}
tbody tr + tr td {{ border-top: 1px solid #ddd; }}
</style>
<table>
<caption>{caption}</caption>
{rows}
</table>
</html>
"""


def number(value: float | None, digits: int = 1) -> str:
    """A number with fixed digits, a true minus sign, and a dash where there is none.

    Examples
    --------
    >>> number(-3.14159, 2), number(-0.04), number(None)
    ('−3.14', '0.0', '–')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        return text.removeprefix("-")
    return text.replace("-", MINUS)


def interval(
    value: float | None, low: float | None, high: float | None, digits: int = 1
) -> str:  # fmt: skip
    """An estimate with its interval.

    Examples
    --------
    >>> interval(52.12, 50.3, 53.94)
    '52.1 [50.3, 53.9]'
    """
    bounds = [number(bound, digits) for bound in (low, high)]
    if MISSING in bounds:
        return number(value, digits)
    return f"{number(value, digits)} [{', '.join(bounds)}]"


def compact_count(n: float) -> str:
    """A count of parameters as people say it.

    Examples
    --------
    >>> [compact_count(n) for n in (34_000, 166_208, 2_004_672, 1_543_714_304)]
    ['34k', '166k', '2M', '1.5B']
    """
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        scaled = n / size
        if scaled >= 0.9995:
            digits = 0 if scaled >= 9.95 else 1
            return f"{scaled:.{digits}f}".removesuffix(".0") + letter
    return f"{n:.0f}"


def latex_escape(text: str) -> str:
    """Text that LaTeX sets as it is written."""
    return "".join(_LATEX.get(character, character) for character in _one_line(text))


def markdown_escape(text: str) -> str:
    """Text that Markdown shows as it is written, in a table cell or a line."""
    escaped = _MARKDOWN.sub(r"\\\1", _one_line(text))
    return re.sub(r"\](?=[(\[:])", r"\\]", escaped)


def to_csv(frame: pd.DataFrame) -> str:
    """A table of a frame of strings; a cell that would be a formula gets a leading apostrophe."""
    return frame.map(no_formula).to_csv(index=False, lineterminator="\n")


def no_formula(cell: str) -> str:
    """A cell that a spreadsheet shows as text: one it would run as a formula gets an apostrophe.

    Such a cell begins with ``=``, ``+``, ``-`` or ``@``, full-width forms included, or with tab or
    carriage return.
    """
    return "'" + cell if _FORMULA.match(cell) else cell


def _one_line(text: str) -> str:
    return _BLANK.sub(" ", str(text)).strip()


def to_latex(frame: pd.DataFrame, caption: str, label: str) -> str:
    """A booktabs table of a frame of strings; needs ``\\usepackage{booktabs}``."""
    body = [
        " & ".join(map(latex_escape, row)) + r" \\" for row in frame.itertuples(index=False)
    ]  # fmt: skip
    lines = [
        r"\begin{table}",
        rf"\caption{{{latex_escape(caption)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{'l' * len(frame.columns)}}}",
        r"\toprule",
        " & ".join(map(latex_escape, frame.columns)) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def to_markdown(frame: pd.DataFrame, caption: str) -> str:
    """A pipe table of a frame of strings, its caption above it."""
    rows = [list(frame.columns), *frame.itertuples(index=False)]
    lines = ["| " + " | ".join(map(markdown_escape, row)) + " |" for row in rows]
    rule = "|" + " --- |" * len(frame.columns)
    return "\n".join([markdown_escape(caption), "", lines[0], rule, *lines[1:]]) + "\n"


def to_html(frame: pd.DataFrame, caption: str, title: str) -> str:
    """A page that holds the table of a frame of strings, without anything from elsewhere."""

    def row(cells: object, tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(_one_line(c))}</{tag}>" for c in cells)

    head = f"<thead>{row(frame.columns, 'th')}</thead>"
    body = "\n".join(row(cells, "td") for cells in frame.itertuples(index=False))
    return _PAGE.format(
        title=html.escape(title),
        caption=html.escape(caption),
        rows=f"{head}\n<tbody>\n{body}\n</tbody>",
    )
