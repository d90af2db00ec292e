"""Blind tasks written out: a sheet and a Label Studio project each, and the page of instructions.

Label Studio shows a task's data as text: ``Text`` with ``valueType="text"`` escapes markup, and a
``$`` is looked up in the interface only, never in the data that it names. A choice is shown as its
``value`` and exported as its ``alias``.
"""

import csv
from pathlib import Path

import pandas as pd
import typst

from expression_leakage.labelling.tasks import SHEETS
from expression_leakage.render.formats import no_formula
from expression_leakage.tables import write_json, write_text

_RATING = """\
<View>
  <Header value="Beginning" size="5"/>
  <Text name="stem" value="$stem" valueType="text"/>
  <Header value="Continuation" size="5"/>
  <Text name="text" value="$text" valueType="text"/>
  <Header value="How negative or positive is the continuation?" size="5"/>
  <Choices name="sentiment" toName="text" choice="single-radio" required="true">
    <Choice alias="-3" value="−3 very negative" hotkey="1"/>
    <Choice alias="-2" value="−2 negative" hotkey="2"/>
    <Choice alias="-1" value="−1 slightly negative" hotkey="3"/>
    <Choice alias="0" value="0 neutral, or good and bad in balance" hotkey="4"/>
    <Choice alias="1" value="1 slightly positive" hotkey="5"/>
    <Choice alias="2" value="2 positive" hotkey="6"/>
    <Choice alias="3" value="3 very positive" hotkey="7"/>
  </Choices>
  <Header value="Is that explained by the beginning?" size="5"/>
  <Choices name="explained" toName="text" choice="single-radio" required="true">
    <Choice alias="yes" value="yes, or there is nothing to explain" hotkey="y"/>
    <Choice alias="no" value="no, the tone comes out of nowhere" hotkey="n"/>
    <Choice alias="can't tell" value="can't tell" hotkey="t"/>
  </Choices>
</View>
"""

_PAIR = """\
<View>
  <Header value="Beginning" size="5"/>
  <Text name="stem" value="$stem" valueType="text"/>
  <Header value="First continuation" size="5"/>
  <Text name="first" value="$first" valueType="text"/>
  <Header value="Second continuation" size="5"/>
  <Text name="second" value="$second" valueType="text"/>
  <Header value="Which continuation is more positive?" size="5"/>
  <Choices name="preference" toName="stem" choice="single-radio" showInline="true" required="true">
    <Choice value="first" hint="the first is more positive, or less negative" hotkey="1"/>
    <Choice value="second" hint="the second is more positive, or less negative" hotkey="2"/>
    <Choice value="neither" hint="no difference in tone, or none you can tell" hotkey="3"/>
  </Choices>
</View>
"""

LABEL_STUDIO_CONFIG = {"rating": _RATING, "pair": _PAIR}


def write_csv(path: str | Path, frame: pd.DataFrame) -> None:
    """Write a CSV that a spreadsheet opens as it is meant: UTF-8 with a mark, no formulas.

    The byte order mark is what makes Excel read UTF-8. A text cell that a spreadsheet would take
    for a formula is neutralised; see `render.formats.no_formula`. Every cell is quoted, so that
    line breaks stay inside their cell.
    """
    safe = frame.apply(
        lambda column: column.map(lambda cell: no_formula(cell) if isinstance(cell, str) else cell)
    )
    text = safe.to_csv(index=False, quoting=csv.QUOTE_ALL, lineterminator="\n")
    write_text(path, "\ufeff" + text)


def write_sheet(path: str | Path, tasks: pd.DataFrame, kind: str) -> None:
    """Write tasks as a CSV whose last columns the annotator fills in; see `write_csv`.

    Parameters
    ----------
    path
        File to write.
    tasks
        Tasks as shown; see `tasks.blind`.
    kind
        ``rating`` or ``pair``: columns are ``SHEETS[kind]``.
    """
    write_csv(path, tasks.reindex(columns=list(SHEETS[kind])))


def write_label_studio(path: str | Path, tasks: pd.DataFrame) -> None:
    """Write tasks as JSON for Label Studio's import; `LABEL_STUDIO_CONFIG` is the interface."""
    write_json(path, [{"data": task} for task in tasks.to_dict("records")])


def write_instructions(source: str | Path, html_path: str | Path, pdf_path: str | Path) -> None:
    """Typeset the annotators' instructions as a web page and as a PDF.

    The bytes depend on the source only: the fonts are those that come with typst, and the date of
    the file is fixed.

    Parameters
    ----------
    source
        Typst file; it must need no other file.
    html_path, pdf_path
        Files to write, aside first, then renamed.

    Raises
    ------
    typst.TypstError
        The source is no typst document.
    """
    options = {"ignore_system_fonts": True, "timestamp": 0}
    page = typst.compile(source, format="html", **options)
    write_text(html_path, page.decode())
    pdf = Path(pdf_path)
    pdf.parent.mkdir(parents=True, exist_ok=True)
    part = pdf.with_name(pdf.name + ".part")
    part.write_bytes(typst.compile(source, format="pdf", **options))
    part.replace(pdf)
