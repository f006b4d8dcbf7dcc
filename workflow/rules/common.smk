"""Configuration, paths and the lists that targets are made of."""

import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

CHECKOUT = Path(workflow.current_basedir.get_path_or_uri(secret_free=False)).parents[1]
sys.path.insert(0, str(CHECKOUT / "src"))

from fieldguide.backbone import LOCAL, backbone_key
from fieldguide.config import check_config
from fieldguide.errors import FieldguideError
from fieldguide.provenance import modules_of
from fieldguide.recipes.registry import NAMES, RECIPES, WITH_NAMES


def get_resource(path):
    """A path of the configuration: as it is, or in the checkout when the workflow runs in another folder."""
    return path if Path(path).exists() or not (CHECKOUT / path).exists() else str(CHECKOUT / path)


def get_backbone_model():
    """The backbone's model as open_clip takes it, a local folder found wherever the workflow runs."""
    model = config["backbone"]["model"]
    return LOCAL + get_resource(model.removeprefix(LOCAL)) if model.startswith(LOCAL) else model


try:
    checked = check_config(config)
    BACKBONE = backbone_key(
        get_backbone_model(),
        checked.backbone.pretrained,
        checked.backbone.precision,
    )
except FieldguideError as error:
    raise WorkflowError(str(error)) from None

RESULTS = f"{checked.results}/{checked.dataset.name}"
IS_AVIARY = checked.dataset.kind == "aviary"
CELL = "{translator}/{recipe}/{budget}/{source}/{sampling}/{redraw}/ratio-{ratio}"

# Jobs run this checkout's modules, with the Python that runs Snakemake unless conda brings another.
SRC = shlex.quote(str(CHECKOUT / "src"))
# Braces are doubled because Snakemake formats the prefix too.
EXPORTS = f"export PYTHONPATH={SRC}" + "${{PYTHONPATH:+:$PYTHONPATH}}; "
if not workflow.deployment_settings.deployment_method:
    EXPORTS += f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; "
shell.prefix(EXPORTS)


wildcard_constraints:
    archive="cub|reed|coco_images|coco_annotations",
    source="|".join(checked.texts),
    translator="|".join(checked.translators),
    recipe="|".join(map(re.escape, RECIPES)),
    budget="steps|epochs",
    sampling="class-wise|global",
    redraw="fixed|per-epoch",
    ratio=r"\d+",


def get_own_path(path):
    """A file of the checkout, relative where the workflow runs in it: moving the folder makes nothing run again."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def get_code(module):
    """The source files that a rule's module runs: changing one of them makes the rule run again."""
    return [get_own_path(path) for path in modules_of(module, CHECKOUT / "src")]


def get_recipe_code(module):
    """A function for `input: code=`: the same with the file of the job's recipe."""
    return lambda wildcards: [*get_code(module), *get_code(f"recipes.{RECIPES[wildcards.recipe].module}")]


def get_cell(translator, source, sampling, redraw, ratio, recipe="thesis"):
    """The result file of one cell; without text, or with texts as they are, there is no translator."""
    cell = CELL.format(
        translator=translator if source != "none" and RECIPES[recipe].translates else "none",
        recipe=recipe,
        budget=checked.adapter.budget,
        source=source,
        sampling=sampling,
        redraw=redraw,
        ratio=ratio,
    )
    return f"{RESULTS}/adapters/{BACKBONE}/{cell}.json"


def get_recipe_cells(recipe, variant):
    """The cells of a recipe in a variant: image only needs images, a text source needs a share of text."""
    prompts = {
        "": variant.sources,
        "names": [NAMES],
        "attributes": [source for source in get_sources() if checked.texts[source].kind == "llm"],
    }
    return [
        get_cell(checked.sweep.translator, source, variant.sampling, variant.redraw, ratio, recipe)
        for source in prompts[RECIPES[recipe].prompts]
        for ratio in checked.sweep.ratios
        if RECIPES[recipe].does(ratio, source != "none")
    ]


def get_cells():
    """The cells of the table."""
    sweep = checked.sweep
    cells = [cell for variant in sweep.variants for recipe in variant.recipes for cell in get_recipe_cells(recipe, variant)]
    first = sweep.variants[0]
    cells += [
        get_cell(translator, source, first.sampling, first.redraw, 0)
        for translator in sweep.text_only_translators
        for source in first.sources
        if source != "none"
    ]
    return cells


def get_compared_cells():
    """The first variant's cells of every recipe and baseline, to stand side by side."""
    first = checked.sweep.variants[0]
    return [cell for recipe in [*first.recipes, *checked.sweep.baselines] for cell in get_recipe_cells(recipe, first)]


def get_sources():
    """The text sources that the table uses, in order of appearance."""
    named = [source for variant in checked.sweep.variants for source in variant.sources]
    return [source for source in dict.fromkeys(named) if source != "none"]


def get_tables():
    """The comparison table in every format, and its figure."""
    tables = [f"{RESULTS}/tables/accuracy.{ending}" for ending in ("csv", "md", "tex", "html")]
    return [*tables, f"{RESULTS}/figures/accuracy.svg"]


def get_extras():
    """What `everything` adds to the comparison table."""
    extras = [f"{RESULTS}/tables/probe.csv", f"{RESULTS}/tables/recipes.csv"]
    extras += [f"{RESULTS}/translators/{BACKBONE}/{name}/curve.svg" for name in checked.translators]
    return [*extras, f"{RESULTS}/figures/birds.png"] if IS_AVIARY else extras


# GPUs that a rule with a network asks for; a machine without one ignores it, a cluster may set another number.
GPU = 1


def get_archive(wildcards):
    """The raw archive of a data set: rendered, or as configured."""
    if IS_AVIARY:
        return rules.render_aviary.output[wildcards.archive]
    return getattr(checked.data, wildcards.archive).path


def get_missing_archives():
    """Raw archives to download. One that exists is the user's: Snakemake deletes what a rule is about to make again."""
    return [archive.path for archive in dict(checked.data).values() if not Path(archive.path).exists()]


def get_archive_settings(path):
    """Where a raw archive comes from, by the path it goes to."""
    return next(dict(archive) for archive in dict(checked.data).values() if archive.path == path)


def get_world_images(wildcards):
    """The world's images: a zip read in place, or a folder."""
    return rules.render_aviary.output.coco_images if IS_AVIARY else checked.data.coco_images.path


def get_world_annotations(wildcards):
    """The world's captions."""
    return rules.render_aviary.output.coco_annotations if IS_AVIARY else checked.data.coco_annotations.path


def get_image_store(wildcards):
    """Where the images of the target or the world lie."""
    return f"{RESULTS}/unpacked/cub" if wildcards.images == "target" else get_world_images(wildcards)


def get_image_records(wildcards):
    """The table that lists them."""
    return f"{RESULTS}/records/{'images' if wildcards.images == 'target' else 'pairs'}.csv"


def get_text_table(wildcards):
    """The table of a text source, or the world's pairs."""
    return f"{RESULTS}/records/pairs.csv" if wildcards.texts == "world" else f"{RESULTS}/texts/{wildcards.texts}.csv"


def get_ledger(wildcards):
    """The ledger of an LLM's replies."""
    return get_resource(checked.texts[wildcards.source].ledger)


def get_ledger_if_any(wildcards):
    """The same as an input; where there is none yet, the stage itself says so."""
    return [ledger for ledger in [get_ledger(wildcards)] if Path(ledger).exists()]


def get_prompt(wildcards):
    """The prompt that the replies answer."""
    return get_resource(checked.texts[wildcards.source].prompt)


def get_source_files(translator, source, recipe):
    """A source's text table, its translated features and its raw ones, as far as the recipe reads them."""
    texts = source + WITH_NAMES if RECIPES[recipe].prompts == "attributes" else source
    translated = f"{RESULTS}/translated/{BACKBONE}/{translator}/{texts}.safetensors"
    files = [f"{RESULTS}/texts/{texts}.csv", translated if RECIPES[recipe].translates else ""]
    return files + ([f"{RESULTS}/features/{BACKBONE}/texts/{texts}.safetensors"] if "raw" in RECIPES[recipe].texts else [])


def get_source_option(translator, source, recipe):
    """NAME=TABLE=TRANSLATED=RAW, as the adapter stages take a text source."""
    return "--source " + "=".join([source, *get_source_files(translator, source, recipe)])


def get_tuning_sources(wildcards):
    """The text sources that tuning a recipe looks at: all of the table, or none."""
    return get_sources() if RECIPES[wildcards.recipe].texts else []


def get_tuning_texts(wildcards):
    """Their files."""
    files = [get_source_files(wildcards.translator, s, wildcards.recipe) for s in get_tuning_sources(wildcards)]
    return [file for of_source in files for file in of_source if file]


def get_source_options(wildcards):
    """The options that name them."""
    options = [get_source_option(wildcards.translator, s, wildcards.recipe) for s in get_tuning_sources(wildcards)]
    return " ".join(options)


def get_tuning(wildcards):
    """The file of a cell's hyper-parameters; none for a recipe that has none."""
    recipe = RECIPES[wildcards.recipe].tuned_as or wildcards.recipe
    path = f"{RESULTS}/tuning/{BACKBONE}/{checked.sweep.translator}/{recipe}/{wildcards.budget}.json"
    return [path] if RECIPES[recipe].tuned else []


def get_tuning_option(wildcards):
    """The option that names it."""
    return " ".join(f"--tuning {path}" for path in get_tuning(wildcards))


def get_cell_texts(wildcards):
    """The files of a cell's text source; none for image only."""
    if wildcards.source == "none":
        return []
    return [file for file in get_source_files(wildcards.translator, wildcards.source, wildcards.recipe) if file]


def get_cell_source(wildcards):
    """The option that names a cell's text source; none for image only."""
    if wildcards.source == "none":
        return ""
    return get_source_option(wildcards.translator, wildcards.source, wildcards.recipe)


def get_named_texts(wildcards):
    """The text table that gets class names put before its texts; none for the names alone."""
    return [] if wildcards.prompts == NAMES else [f"{RESULTS}/texts/{wildcards.prompts.removesuffix(WITH_NAMES)}.csv"]


def get_named_texts_option(wildcards):
    """The option that names it."""
    return " ".join(f"--texts {path}" for path in get_named_texts(wildcards))


def get_published():
    """The published figures, where they belong beside ours."""
    is_cub = checked.dataset.name == "cub" or checked.dataset.name.startswith("cub-")
    return [get_resource(checked.published)] if is_cub else []


def get_published_option(option):
    """The option that hands them over; none elsewhere."""
    return " ".join([option, *get_published()]) if get_published() else ""


def get_notes():
    """The sentences that stand above the table."""
    sentences = [checked.dataset.note] if checked.dataset.note else []
    sentences.append(
        "Learning rate and weight decay were chosen on a held-out part of all training images, so labels beyond a "
        "cell's own share had a part in that choice."
    )
    return " ".join(f"--note {shlex.quote(' '.join(sentence.split()))}" for sentence in sentences)
