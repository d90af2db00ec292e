# A table of contents. `snakemake --cores all` runs the study of config/config.yaml; another study
# is an overlay: `--configfile config/<study>.yaml`. What a stage does stands in its rules' file.
from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/benchmark.smk"
include: "workflow/rules/webtext.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/preflight.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/label.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/render.smk"


report: "workflow/report/workflow.rst"


localrules:
    all,


rule all:
    default_target: True
    input:
        get_final_output(),
