"""The comparison table and its figure, and pictures of the data."""


localrules:
    tabulate_accuracy,
    tabulate_image_worth,
    plot_accuracy,
    score_sampling,
    compare_recipes,


rule tabulate_accuracy:
    """The comparison table: tidy, and in the thesis's shape."""
    input:
        cells=get_cells(),
        published=get_published(),
        code=get_code("tabulate_accuracy"),
        template=get_own_path(CHECKOUT / "src/fieldguide/templates/accuracy.html.j2"),
    output:
        csv=report(f"{RESULTS}/tables/accuracy.csv", category="Accuracy"),
        differences=report(f"{RESULTS}/tables/differences.csv", category="Accuracy"),
        md=f"{RESULTS}/tables/accuracy.md",
        tex=f"{RESULTS}/tables/accuracy.tex",
        html=report(f"{RESULTS}/tables/accuracy.html", category="Accuracy"),
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
        python -m fieldguide.tabulate_accuracy \
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
        code=get_code("tabulate_image_worth"),
    output:
        csv=report(f"{RESULTS}/tables/image_worth.csv", category="Accuracy"),
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
        python -m fieldguide.tabulate_image_worth \
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
        code=get_code("score_sampling"),
    output:
        csv=report(f"{RESULTS}/tables/sampling.csv", category="Accuracy"),
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
        python -m fieldguide.score_sampling \
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
        code=get_code("plot_accuracy"),
    output:
        report(f"{RESULTS}/figures/accuracy.svg", category="Accuracy"),
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
        python -m fieldguide.plot_accuracy \
            --csv {input.csv:q} \
            {params.published} \
            {params.note} \
            --svg {output:q} &>{log:q}
        """


rule compare_recipes:
    """Recipes and baselines side by side, and what text is worth to the anchored recipe, paired by seed."""
    input:
        cells=get_compared_cells(),
        code=get_code("compare_recipes"),
    output:
        csv=report(f"{RESULTS}/tables/recipes.csv", category="Accuracy"),
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
        python -m fieldguide.compare_recipes \
            --cells {input.cells:q} \
            --dataset {params.dataset:q} \
            {params.notes} \
            --csv {output.csv:q} \
            --md {output.md:q} &>{log:q}
        """


if IS_AVIARY:

    localrules:
        draw_birds,

    rule draw_birds:
        """A sheet of the aviary's species: male, female and juvenile."""
        input:
            code=get_code("draw_birds"),
        output:
            report(f"{RESULTS}/figures/birds.png", category="Data"),
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
            python -m fieldguide.draw_birds \
                --seed {params.seed} \
                --species {params.species} \
                --out {output:q} &>{log:q}
            """
