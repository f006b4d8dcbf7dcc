"""The comparison table and its figure, and pictures of the data."""


localrules:
    select_published,
    tabulate_accuracy,
    tabulate_image_worth,
    plot_accuracy,
    score_sampling,
    compare_recipes,
    typeset_tables,
    write_report,


rule select_published:
    """The published figures, where this data set is the one that they are of."""
    input:
        figures=tables.published_figures,
        of=tables.published_classes,
        classes=layout.class_records,
    output:
        layout.published,
    log:
        layout.log("select_published"),
    benchmark:
        layout.benchmark("select_published")
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("tables.select_published"),
        settings=tables.select,
    shell:
        """
        python -m fieldguide.tables.select_published \
            --classes {input.classes:q} \
            --of {input.of:q} \
            --figures {input.figures:q} \
            --settings {params.settings:q} \
            --out {output:q} &>{log:q}
        """


rule tabulate_accuracy:
    """The comparison table: tidy, and in the thesis's shape."""
    input:
        cells=targets.cells,
        correct=targets.correctness,
        published=tables.published(),
        template=layout.checkout_file("src/fieldguide/tables/templates/accuracy.html.j2"),
    output:
        csv=report(
            layout.table("accuracy.csv"),
            caption="../report/accuracy_csv.rst",
            category="Accuracy",
            labels={"what": "accuracy by share of images", "form": "tidy table"},
        ),
        differences=report(
            layout.table("differences.csv"),
            caption="../report/differences.rst",
            category="Accuracy",
            labels={"what": "paired differences", "form": "tidy table"},
        ),
        md=layout.table("accuracy.md"),
        tex=layout.table("accuracy.tex"),
        html=report(
            layout.table("accuracy.html"),
            caption="../report/accuracy_table.rst",
            category="Accuracy",
            labels={"what": "comparison table", "form": "page"},
        ),
    log:
        layout.log("tabulate_accuracy"),
    benchmark:
        layout.benchmark("tabulate_accuracy")
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("tables.tabulate_accuracy"),
        settings=tables.heading,
    shell:
        """
        python -m fieldguide.tables.tabulate_accuracy \
            --cells {input.cells:q} \
            --published {input.published:q} \
            --settings {params.settings:q} \
            --csv {output.csv:q} \
            --differences {output.differences:q} \
            --md {output.md:q} \
            --tex {output.tex:q} \
            --html {output.html:q} &>{log:q}
        """


rule tabulate_image_worth:
    """The worth of text in labelled images per class, from the accuracy curves."""
    input:
        cells=targets.cells,
        correct=targets.correctness,
        records=layout.image_records,
    output:
        csv=report(
            layout.table("image_worth.csv"),
            caption="../report/image_worth.rst",
            category="Accuracy",
            labels={"what": "worth of text in images", "form": "tidy table"},
        ),
        md=layout.table("image_worth.md"),
    log:
        layout.log("tabulate_image_worth"),
    benchmark:
        layout.benchmark("tabulate_image_worth")
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("tables.tabulate_image_worth"),
        settings=tables.heading,
    shell:
        """
        python -m fieldguide.tables.tabulate_image_worth \
            --cells {input.cells:q} \
            --records {input.records:q} \
            --settings {params.settings:q} \
            --csv {output.csv:q} \
            --md {output.md:q} &>{log:q}
        """


rule score_sampling:
    """Which sampling, redraw and budget explain the published figures."""
    input:
        cells=targets.study_cells,
        published=tables.published(),
    output:
        csv=report(
            layout.table("sampling.csv"),
            caption="../report/sampling.rst",
            category="Accuracy",
            labels={"what": "sampling, redraw and budget", "form": "tidy table"},
        ),
        md=layout.table("sampling.md"),
    log:
        layout.log("score_sampling"),
    benchmark:
        layout.benchmark("score_sampling")
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("tables.score_sampling"),
        settings=tables.scores,
    shell:
        """
        python -m fieldguide.tables.score_sampling \
            --cells {input.cells:q} \
            --published {input.published:q} \
            --settings {params.settings:q} \
            --csv {output.csv:q} \
            --md {output.md:q} &>{log:q}
        """


rule plot_accuracy:
    """Accuracy by share of images, a panel per variant."""
    input:
        csv=layout.table("accuracy.csv"),
        published=tables.published(),
    output:
        report(
            layout.figure("accuracy.svg"),
            caption="../report/accuracy_figure.rst",
            category="Accuracy",
            labels={"what": "accuracy by share of images", "form": "figure"},
        ),
    log:
        layout.log("plot_accuracy"),
    benchmark:
        layout.benchmark("plot_accuracy")
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("tables.plot_accuracy"),
        settings=tables.heading,
    shell:
        """
        python -m fieldguide.tables.plot_accuracy \
            --csv {input.csv:q} \
            --published {input.published:q} \
            --settings {params.settings:q} \
            --svg {output:q} &>{log:q}
        """


rule tabulate_controls:
    """Whether a gain is the text's own: every text source beside its controls."""
    input:
        cells=targets.controlled_cells,
        correct=targets.controlled_correctness,
    output:
        csv=report(
            layout.table("controls.csv"),
            caption="../report/controls.rst",
            category="Accuracy",
            labels={"what": "text beside its controls", "form": "tidy table"},
        ),
        md=layout.table("controls.md"),
    log:
        layout.log("tabulate_controls"),
    benchmark:
        layout.benchmark("tabulate_controls")
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("tables.tabulate_controls"),
        settings=tables.controls,
    shell:
        """
        python -m fieldguide.tables.tabulate_controls \
            --cells {input.cells:q} \
            --settings {params.settings:q} \
            --csv {output.csv:q} \
            --md {output.md:q} &>{log:q}
        """


rule compare_recipes:
    """Recipes and baselines side by side, and what text is worth to the anchored recipe, paired by seed."""
    input:
        cells=targets.compared_cells,
        correct=targets.compared_correctness,
    output:
        csv=report(
            layout.table("recipes.csv"),
            caption="../report/recipes.rst",
            category="Accuracy",
            labels={"what": "recipes and baselines", "form": "tidy table"},
        ),
        md=layout.table("recipes.md"),
    log:
        layout.log("compare_recipes"),
    benchmark:
        layout.benchmark("compare_recipes")
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("tables.compare_recipes"),
        settings=tables.heading,
    shell:
        """
        python -m fieldguide.tables.compare_recipes \
            --cells {input.cells:q} \
            --settings {params.settings:q} \
            --csv {output.csv:q} \
            --md {output.md:q} &>{log:q}
        """


rule predict_classes:
    """Accuracy of each cell by class, and which classes it confuses, from the weights that cells keep."""
    input:
        records=layout.image_records,
        classes=layout.class_records,
        images=layout.image_features("dataset"),
        cells=targets.cells,
        weights=targets.weights,
    output:
        accuracy=report(
            layout.table("classes.csv"),
            caption="../report/classes.rst",
            category="Classes",
            labels={"what": "accuracy by class", "form": "tidy table"},
        ),
        confusions=report(
            layout.table("confusions.csv"),
            caption="../report/confusions.rst",
            category="Classes",
            labels={"what": "confused classes", "form": "tidy table"},
        ),
    log:
        layout.log("predict_classes"),
    benchmark:
        layout.benchmark("predict_classes")
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/adapter", within=config)
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("tables.predict_classes"),
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
        tables=targets.typeset_tables,
    output:
        targets.typeset,
    log:
        layout.log("typeset_tables"),
    benchmark:
        layout.benchmark("typeset_tables")
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("tables.typeset_tables"),
        settings=tables.heading,
        out=subpath(output[0], parent=True),
    shell:
        """
        python -m fieldguide.tables.typeset_tables \
            --tables {input.tables:q} \
            --settings {params.settings:q} \
            --out {params.out:q} &>{log:q}
        """


rule write_report:
    """One page with the tables, curves, confused classes, costs and provenance, that needs nothing else."""
    input:
        cells=targets.cells,
        correct=targets.correctness,
        tables=targets.report_tables,
        records=layout.image_records,
        classes=layout.class_records,
        photographs=layout.photographs,
        texts=targets.text_tables,
        published=tables.published(),
        template=layout.checkout_file("src/fieldguide/report/templates/report.html.j2"),
    output:
        report(
            layout.report,
            caption="../report/report.rst",
            category="Accuracy",
            labels={"what": "everything on one page", "form": "page"},
        ),
    log:
        layout.log("write_report"),
    benchmark:
        layout.benchmark("write_report")
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=code("report.write_report"),
        texts=tables.texts,
        settings=tables.report,
    shell:
        """
        python -m fieldguide.report.write_report \
            --cells {input.cells:q} \
            --tables {input.tables:q} \
            --records {input.records:q} \
            --classes {input.classes:q} \
            --photographs {input.photographs:q} \
            {params.texts:q} \
            --published {input.published:q} \
            --settings {params.settings:q} \
            --out {output:q} &>{log:q}
        """


if layout.is_aviary:

    localrules:
        draw_birds,

    rule draw_birds:
        """A sheet of the aviary's species: male, female and juvenile."""
        output:
            report(
                layout.figure("birds.png"),
                caption="../report/birds.rst",
                category="Data",
                labels={"what": "the species", "form": "figure"},
            ),
        log:
            layout.log("draw_birds"),
        benchmark:
            layout.benchmark("draw_birds")
        conda:
            "../../envs/fieldguide.yaml"
        threads: 1
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            code=code("aviary.draw_birds"),
            settings=data.species_settings,
        shell:
            """
            python -m fieldguide.aviary.draw_birds \
                --settings {params.settings:q} \
                --out {output:q} &>{log:q}
            """
