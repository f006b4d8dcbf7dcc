"""Conversion accuracy: how well translated texts stand in for image features, a row per translator."""


localrules:
    tabulate_conversion,
    plot_conversion,


rule measure_conversion:
    """One translator on pairs that none learnt from, and on the data set: by source, class, field and word."""
    input:
        translator=translators.fitted,
        pairs=layout.pair_records,
        pair_images=layout.image_features("pairs"),
        pair_texts=layout.text_features("pairs"),
        records=layout.image_records,
        classes=layout.class_records,
        images=layout.image_features("dataset"),
        sources=conversion.sources,
    output:
        layout.conversion("{translator}"),
    log:
        layout.log("measure_conversion", "{translator}"),
    benchmark:
        layout.benchmark("measure_conversion", "{translator}")
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/translator", within=config)
    resources:
        mem_mb=8000,
        runtime=120,
        gpu=translators.gpu,
    params:
        code=translators.code_of("translators.measure_conversion"),
        settings=conversion.measure_settings,
        sources=conversion.source_options,
        threads=lookup(dpath="threads/translator", within=config),
    shell:
        """
        python -m fieldguide.translators.measure_conversion \
            --name {wildcards.translator:q} \
            --settings {params.settings:q} \
            --translator {input.translator:q} \
            --pairs {input.pairs:q} \
            --pair-images {input.pair_images:q} \
            --pair-texts {input.pair_texts:q} \
            --records {input.records:q} \
            --classes {input.classes:q} \
            --images {input.images:q} \
            {params.sources:q} \
            --threads {params.threads} \
            --out {output:q} &>{log:q}
        """


rule tabulate_conversion:
    """Conversion accuracy, a row per translator; what converts and what is lost by field, class and word."""
    input:
        measures=targets.conversion_measures,
        cells=targets.conversion_cells,
    output:
        csv=report(
            layout.table("conversion.csv"),
            caption="../report/conversion.rst",
            category="Conversion",
            labels={"what": "conversion accuracy", "form": "tidy table"},
        ),
        md=layout.table("conversion.md"),
        fields=report(
            layout.table("conversion_fields.csv"),
            caption="../report/conversion_fields.rst",
            category="Conversion",
            labels={"what": "conversion accuracy by field", "form": "tidy table"},
        ),
        fields_md=layout.table("conversion_fields.md"),
        classes=layout.table("conversion_classes.csv"),
        words=layout.table("conversion_words.csv"),
    log:
        layout.log("tabulate_conversion"),
    benchmark:
        layout.benchmark("tabulate_conversion")
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("tables.tabulate_conversion"),
        settings=conversion.table_settings,
        out=subpath(output.csv, parent=True),
    shell:
        """
        python -m fieldguide.tables.tabulate_conversion \
            --measures {input.measures:q} \
            --cells {input.cells:q} \
            --settings {params.settings:q} \
            --out {params.out:q} &>{log:q}
        """


rule plot_conversion:
    """The measures by translator, and the principal components of a few classes before and after translation."""
    input:
        csv=layout.table("conversion.csv"),
        records=layout.image_records,
        classes=layout.class_records,
        images=layout.image_features("dataset"),
        source=conversion.drawn_files,
    output:
        svg=report(
            layout.figure("conversion.svg"),
            caption="../report/conversion_figure.rst",
            category="Conversion",
            labels={"what": "conversion accuracy", "form": "figure"},
        ),
        pca=report(
            layout.figure("conversion_pca.svg"),
            caption="../report/conversion_pca.rst",
            category="Conversion",
            labels={"what": "images and texts, before and after translation", "form": "figure"},
        ),
    log:
        layout.log("plot_conversion"),
    benchmark:
        layout.benchmark("plot_conversion")
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("tables.plot_conversion"),
        settings=conversion.figure_settings,
        source=conversion.drawn_options,
    shell:
        """
        python -m fieldguide.tables.plot_conversion \
            --csv {input.csv:q} \
            --records {input.records:q} \
            --classes {input.classes:q} \
            --images {input.images:q} \
            --settings {params.settings:q} \
            {params.source:q} \
            --svg {output.svg:q} \
            --pca {output.pca:q} &>{log:q}
        """
