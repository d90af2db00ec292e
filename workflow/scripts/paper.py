import shutil
from pathlib import Path

import typst

from expression_leakage.job import logged

with logged(snakemake.log[0]):
    source, folder = Path(snakemake.input.source), Path(snakemake.output.pdf).parent
    document = folder / "main.typ"
    if document.resolve() != source.resolve():
        shutil.copyfile(source, document)
    options = {"root": folder, "ignore_system_fonts": True, "timestamp": 0}
    part = folder / "main.pdf.part"
    typst.compile(document, part, format="pdf", **options)
    pages = typst.compile(document, format="png", ppi=110, **options)
    Path(snakemake.output.first_page).write_bytes(pages[0])
    part.replace(snakemake.output.pdf)
