from pathlib import Path

from expression_leakage.job import logged
from expression_leakage.render.figures import draw
from expression_leakage.render.sources import read_sources
from expression_leakage.render.style import save_figure

with logged(snakemake.log[0]):
    material = read_sources(snakemake.input) | dict(snakemake.params)
    save_figure(
        draw(snakemake.wildcards.figure, material), Path(snakemake.output.svg).with_suffix("")
    )
