"""The comparison table and its figure, and pictures of the data."""


localrules:
    tabulate_accuracy,
    tabulate_image_worth,
    plot_accuracy,
    score_sampling,
    compare_recipes,
    typeset_tables,
    write_report,


rule tabulate_accuracy:
    """The comparison table: tidy, and in the thesis's shape."""
    input:
        cells=get_cells(),
        published=get_published(),
        code=get_code("tables.tabulate_accuracy"),
        template=get_own_path(CHECKOUT / "src/fieldguide/tables/templates/accuracy.html.j2"),
    output:
        csv=report(
            f"{RESULTS}/tables/accuracy.csv",
            caption="../report/accuracy_csv.rst",
            category="Accuracy",
            labels={"what": "accuracy by share of images", "form": "tidy table"},
        ),
        differences=report(
            f"{RESULTS}/tables/differences.csv",
            caption="../report/differences.rst",
            category="Accuracy",
            labels={"what": "paired differences", "form": "tidy table"},
        ),
        md=f"{RESULTS}/tables/accuracy.md",
        tex=f"{RESULTS}/tables/accuracy.tex",
        html=report(
            f"{RESULTS}/tables/accuracy.html",
            caption="../report/accuracy_table.rst",
            category="Accuracy",
            labels={"what": "comparison table", "form": "page"},
        ),
    log:
        f"{RESULTS}/logs/tabulate_accuracy/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/tabulate_accuracy/all.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        dataset=lookup(dpath="dataset/name", within=config),
        notes=get_notes(),
        published=get_published_option("--columns-published"),
    shell:
        """
        python -m fieldguide.tables.tabulate_accuracy \
            --cells {input.cells:q} \
            --dataset {params.dataset:q} \
            {params.published} \
            {params.notes} \
            --csv {output.csv:q} \
            --differences {output.differences:q} \
            --md {output.md:q} \
            --tex {output.tex:q} \
            --html {output.html:q} &>{log:q}
        """


rule tabulate_image_worth:
    """The worth of text in labelled images per class, from the accuracy curves."""
    input:
        cells=get_cells(),
        records=f"{RESULTS}/records/images.csv",
        code=get_code("tables.tabulate_image_worth"),
    output:
        csv=report(
            f"{RESULTS}/tables/image_worth.csv",
            caption="../report/image_worth.rst",
            category="Accuracy",
            labels={"what": "worth of text in images", "form": "tidy table"},
        ),
        md=f"{RESULTS}/tables/image_worth.md",
    log:
        f"{RESULTS}/logs/tabulate_image_worth/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/tabulate_image_worth/all.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        dataset=lookup(dpath="dataset/name", within=config),
        notes=get_notes(),
    shell:
        """
        python -m fieldguide.tables.tabulate_image_worth \
            --cells {input.cells:q} \
            --records {input.records:q} \
            --dataset {params.dataset:q} \
            {params.notes} \
            --csv {output.csv:q} \
            --md {output.md:q} &>{log:q}
        """


rule score_sampling:
    """Which sampling, redraw and budget explain the published figures."""
    input:
        cells=get_study_cells(),
        published=get_published(),
        code=get_code("tables.score_sampling"),
    output:
        csv=report(
            f"{RESULTS}/tables/sampling.csv",
            caption="../report/sampling.rst",
            category="Accuracy",
            labels={"what": "sampling, redraw and budget", "form": "tidy table"},
        ),
        md=f"{RESULTS}/tables/sampling.md",
    log:
        f"{RESULTS}/logs/score_sampling/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/score_sampling/all.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        dataset=lookup(dpath="dataset/name", within=config),
        notes=get_notes(),
        published=get_published_option("--published"),
        tolerance=lookup(dpath="sampling_study/tolerance", within=config),
    shell:
        """
        python -m fieldguide.tables.score_sampling \
            --cells {input.cells:q} \
            --dataset {params.dataset:q} \
            {params.published} \
            --tolerance {params.tolerance} \
            {params.notes} \
            --csv {output.csv:q} \
            --md {output.md:q} &>{log:q}
        """


rule plot_accuracy:
    """Accuracy by share of images, a panel per variant."""
    input:
        csv=f"{RESULTS}/tables/accuracy.csv",
        published=get_published(),
        code=get_code("tables.plot_accuracy"),
    output:
        report(
            f"{RESULTS}/figures/accuracy.svg",
            caption="../report/accuracy_figure.rst",
            category="Accuracy",
            labels={"what": "accuracy by share of images", "form": "figure"},
        ),
    log:
        f"{RESULTS}/logs/plot_accuracy/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_accuracy/all.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        note=get_notes(),
        published=get_published_option("--published"),
    shell:
        """
        python -m fieldguide.tables.plot_accuracy \
            --csv {input.csv:q} \
            {params.published} \
            {params.note} \
            --svg {output:q} &>{log:q}
        """


rule compare_recipes:
    """Recipes and baselines side by side, and what text is worth to the anchored recipe, paired by seed."""
    input:
        cells=get_compared_cells(),
        code=get_code("tables.compare_recipes"),
    output:
        csv=report(
            f"{RESULTS}/tables/recipes.csv",
            caption="../report/recipes.rst",
            category="Accuracy",
            labels={"what": "recipes and baselines", "form": "tidy table"},
        ),
        md=f"{RESULTS}/tables/recipes.md",
    log:
        f"{RESULTS}/logs/compare_recipes/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_recipes/all.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        dataset=lookup(dpath="dataset/name", within=config),
        notes=get_notes(),
    shell:
        """
        python -m fieldguide.tables.compare_recipes \
            --cells {input.cells:q} \
            --dataset {params.dataset:q} \
            {params.notes} \
            --csv {output.csv:q} \
            --md {output.md:q} &>{log:q}
        """


rule predict_classes:
    """Accuracy of each cell by class, and which classes it confuses, from the weights that cells keep."""
    input:
        records=f"{RESULTS}/records/images.csv",
        classes=f"{RESULTS}/records/classes.csv",
        images=get_image_features("target"),
        cells=get_cells(),
        weights=[str(Path(cell).with_suffix(".safetensors")) for cell in get_cells()],
        code=get_code("tables.predict_classes"),
    output:
        accuracy=report(
            f"{RESULTS}/tables/classes.csv",
            caption="../report/classes.rst",
            category="Classes",
            labels={"what": "accuracy by class", "form": "tidy table"},
        ),
        confusions=report(
            f"{RESULTS}/tables/confusions.csv",
            caption="../report/confusions.rst",
            category="Classes",
            labels={"what": "confused classes", "form": "tidy table"},
        ),
    log:
        f"{RESULTS}/logs/predict_classes/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict_classes/all.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/adapter", within=config)
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        threads=lookup(dpath="threads/adapter", within=config),
    shell:
        """
        python -m fieldguide.tables.predict_classes \
            --records {input.records:q} \
            --classes {input.classes:q} \
            --images {input.images:q} \
            --cells {input.cells:q} \
            --threads {params.threads} \
            --class-accuracy {output.accuracy:q} \
            --confusions {output.confusions:q} &>{log:q}
        """


rule typeset_tables:
    """Tidy tables as LaTeX with booktabs."""
    input:
        tables=get_typeset_tables(),
        code=get_code("tables.typeset_tables"),
    output:
        [str(Path(table).with_suffix(".tex")) for table in get_typeset_tables()],
    log:
        f"{RESULTS}/logs/typeset_tables/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/typeset_tables/all.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        dataset=lookup(dpath="dataset/name", within=config),
        notes=get_notes(),
        out=subpath(output[0], parent=True),
    shell:
        """
        python -m fieldguide.tables.typeset_tables \
            --tables {input.tables:q} \
            --dataset {params.dataset:q} \
            {params.notes} \
            --out {params.out:q} &>{log:q}
        """


rule write_report:
    """One page with the tables, curves, confused classes, costs and provenance, that needs nothing else."""
    input:
        cells=get_cells(),
        tables=get_report_tables(),
        records=f"{RESULTS}/records/images.csv",
        classes=f"{RESULTS}/records/classes.csv",
        photographs=get_photographs(),
        texts=[f"{RESULTS}/texts/{source}.csv" for source in get_sources()],
        published=get_published(),
        code=get_code("report.write_report"),
        template=get_own_path(CHECKOUT / "src/fieldguide/report/templates/report.html.j2"),
    output:
        report(
            f"{RESULTS}/report.html",
            caption="../report/report.rst",
            category="Accuracy",
            labels={"what": "everything on one page", "form": "page"},
        ),
    log:
        f"{RESULTS}/logs/write_report/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_report/all.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        dataset=lookup(dpath="dataset/name", within=config),
        thing=lookup(dpath="dataset/thing", within=config),
        language=lookup(dpath="language", within=config),
        shown=get_report_options(),
        published=get_published_option("--published"),
        sources=get_priced_sources,
        configuration=get_configuration,
        notes=get_notes(),
    shell:
        """
        python -m fieldguide.report.write_report \
            --cells {input.cells:q} \
            --tables {input.tables:q} \
            --dataset {params.dataset:q} \
            --records {input.records:q} \
            --classes {input.classes:q} \
            {params.shown} \
            {params.published} \
            --sources {params.sources:q} \
            --thing={params.thing:q} \
            --configuration {params.configuration:q} \
            --language {params.language} \
            {params.notes} \
            --out {output:q} &>{log:q}
        """


if IS_AVIARY:

    localrules:
        draw_birds,

    rule draw_birds:
        """A sheet of the aviary's species: male, female and juvenile."""
        input:
            code=get_code("aviary.draw_birds"),
        output:
            report(
                f"{RESULTS}/figures/birds.png",
                caption="../report/birds.rst",
                category="Data",
                labels={"what": "the species", "form": "figure"},
            ),
        log:
            f"{RESULTS}/logs/draw_birds/all.log",
        benchmark:
            f"{RESULTS}/benchmarks/draw_birds/all.tsv"
        conda:
            "../../envs/fieldguide.yaml"
        threads: 1
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            seed=lookup(dpath="aviary/seed", within=config),
            species=lookup(dpath="aviary/species", within=config),
        shell:
            """
            python -m fieldguide.aviary.draw_birds \
                --seed {params.seed} \
                --species {params.species} \
                --out {output:q} &>{log:q}
            """
