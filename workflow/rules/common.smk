"""The checked configuration, what rules ask of it, and what every job shares.

Rules only name things. Where a path, a target or an argument of a job is worked out stands in `fieldguide.workflow`:
`layout` knows every path and `targets` every list of results; `data`, `texts`, … have one class per rules file, whose
methods that take `wildcards` are input and params functions: `settings=adapters.cell_settings`.
"""

import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

CHECKOUT = Path(workflow.current_basedir.get_path_or_uri(secret_free=False)).parents[1]
sys.path.insert(0, str(CHECKOUT / "src"))
# Snakemake has imported the logger plugin by now, and with it the package as it is installed: maybe another checkout's.
imported = getattr(sys.modules.get("fieldguide"), "__file__", None)
if imported and not Path(imported).resolve().is_relative_to(CHECKOUT.resolve()):
    for name in [name for name in sys.modules if name.partition(".")[0] == "fieldguide"]:
        del sys.modules[name]

from fieldguide.adapters.recipes.registry import NAMES, RAW, RECIPES
from fieldguide.core.errors import FieldguideError
from fieldguide.run.cluster import check_cluster
from fieldguide.run.error_messages import explain_errors
from fieldguide.run.guard import guard
from fieldguide.run.hooks import end_run, shell_prefix, start_run
from fieldguide.run.llms import check_llms
from fieldguide.workflow.adapters import AdapterJobs
from fieldguide.workflow.config import check_config
from fieldguide.workflow.conversion import ConversionJobs
from fieldguide.workflow.data import DataJobs
from fieldguide.workflow.features import FeatureJobs
from fieldguide.workflow.jobs import GPU, Jobs, more_each_try
from fieldguide.workflow.layout import BESIDE, CELL, SHARD, Layout, either
from fieldguide.workflow.links import refuse_checkout
from fieldguide.workflow.tables import TableJobs
from fieldguide.workflow.targets import Targets
from fieldguide.workflow.texts import TextJobs
from fieldguide.workflow.translators import TranslatorJobs

errors = explain_errors(logger)
try:
    refuse_checkout(CHECKOUT)
    checked = check_config(config)
    layout = Layout(checked, CHECKOUT)
    layout.refuse_file()
    layout.refuse_earlier()
    data, texts, features = DataJobs(layout), TextJobs(layout), FeatureJobs(layout)
    # These say so when a file is not there, or can have no such name.
    layout.backbone, features.manifest(), data.download_paths(), TableJobs(layout).refuse_unpublished()
except FieldguideError as error:
    raise WorkflowError(str(error)) from None

targets = Targets(layout)
errors.targets.results = str(layout.folder)
errors.targets.collections = lambda: [rule.name for rule in workflow.rules if rule.name in ("all", "everything")]
errors.targets.rules = lambda: [rule.name for rule in workflow.rules]
errors.targets.files = lambda: [
    *targets.tables,
    *targets.extras,
    *targets.control_tables,
    *targets.typeset,
    *targets.cells,
]
code = Jobs(layout).code  # of a stage: a hash of what it runs
translators, adapters = TranslatorJobs(layout), AdapterJobs(layout)
tables, conversion = TableJobs(layout), ConversionJobs(layout)

# Jobs run this checkout's modules, with the Python that runs Snakemake unless conda brings another.
EXPORTS = f"export PYTHONPATH={shlex.quote(str(layout.source))}${{PYTHONPATH:+:$PYTHONPATH}}; "
if not workflow.deployment_settings.deployment_method:
    EXPORTS += f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; "
EXPORTS += shell_prefix()
shell.prefix(EXPORTS.replace("{", "{{").replace("}", "}}"))  # since Snakemake formats it too
guard(workflow, layout.folder)


wildcard_constraints:
    archive="cub|reed|coco_images|coco_annotations",
    source=either(checked.texts),
    translator=either(checked.translators),
    recipe=either(RECIPES),
    budget=r"(steps|epochs)(-\d+)?",
    sampling="class-wise|global",
    redraw=f"(?:fixed|per-epoch)(?:{BESIDE})?",
    ratio=r"100|\d{1,2}",
    shard=r"\d+",
    shards=r"\d+",


def check_jobs():
    """Before the first job: where a cluster runs them, none of an earlier run is left there, and GPUs can be had; and
    the LLMs that are to be asked are there."""
    try:
        check_cluster(workflow, str(layout.folder))
        check_llms(workflow, texts.unasked_llms, texts.check_words, layout.log("check_llm"), layout.source)
    except FieldguideError as error:
        raise WorkflowError(str(error)) from None


onstart:
    check_jobs()
    start_run(workflow, layout.folder)


onsuccess:
    end_run(workflow, layout.folder, CHECKOUT, config, is_success=True)


onerror:
    end_run(workflow, layout.folder, CHECKOUT, config, is_success=False)
