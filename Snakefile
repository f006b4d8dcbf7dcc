"""fieldguide: how far can text stand in for labelled photographs? From raw archives to the comparison table."""

from snakemake.utils import min_version

min_version("9.0")


report: "workflow/report/workflow.rst"


configfile: workflow.current_basedir.join("config.yaml").get_path_or_uri(secret_free=False)


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/texts.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/translators.smk"
include: "workflow/rules/adapters.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/conversion.smk"


rule all:
    """The comparison table, its figure, and every cell of it."""
    default_target: True
    input:
        targets.tables,
        targets.cells,
    localrule: True


rule everything:
    """All tables, figures, translators and references, and the report."""
    input:
        rules.all.input,
        targets.extras,
        targets.control_tables,
        rules.typeset_tables.output,
        rules.write_report.output,
    localrule: True
