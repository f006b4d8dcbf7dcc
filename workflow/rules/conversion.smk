"""Conversion accuracy: how well translated texts stand in for image features, a row per translator."""


localrules:
    tabulate_conversion,
    plot_conversion,


rule measure_conversion:
    """One translator on pairs that none learnt from, and on the target: by source, class, field and word."""
    input:
        translator=get_translator_file,
        pairs=f"{RESULTS}/records/pairs.csv",
        world_images=get_image_features("world"),
        world_texts=get_text_features("world"),
        records=f"{RESULTS}/records/images.csv",
        classes=f"{RESULTS}/records/classes.csv",
        images=get_image_features("target"),
        sources=get_translated_sources,
        code=get_translator_code("translators.measure_conversion"),
    output:
        f"{RESULTS}/conversion/{BACKBONE}/{{translator}}.json",
    log:
        f"{RESULTS}/logs/measure_conversion/{{translator}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_conversion/{{translator}}.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/translator", within=config)
    resources:
        mem_mb=8000,
        runtime=120,
        gpu=get_translator_gpu,
    params:
        translator=get_translator_option,
        sources=get_translated_options,
        test_share=checked.world.test_share,
        threads=lookup(dpath="threads/translator", within=config),
    shell:
        """
        python -m fieldguide.translators.measure_conversion \
            --name {wildcards.translator} \
            {params.translator} \
            --pairs {input.pairs:q} \
            --world-images {input.world_images:q} \
            --world-texts {input.world_texts:q} \
            --test-share {params.test_share} \
            --records {input.records:q} \
            --classes {input.classes:q} \
            --images {input.images:q} \
            {params.sources} \
            --threads {params.threads} \
            --out {output:q} &>{log:q}
        """


rule tabulate_conversion:
    """Conversion accuracy, a row per translator; what converts and what is lost by field, class and word."""
    input:
        measures=[f"{RESULTS}/conversion/{BACKBONE}/{name}.json" for name in get_compared_translators()],
        cells=get_conversion_cells(),
        code=get_code("tables.tabulate_conversion"),
    output:
        csv=report(
            f"{RESULTS}/tables/conversion.csv",
            caption="../report/conversion.rst",
            category="Conversion",
            labels={"what": "conversion accuracy", "form": "tidy table"},
        ),
        md=f"{RESULTS}/tables/conversion.md",
        fields=report(
            f"{RESULTS}/tables/conversion_fields.csv",
            caption="../report/conversion_fields.rst",
            category="Conversion",
            labels={"what": "conversion accuracy by field", "form": "tidy table"},
        ),
        fields_md=f"{RESULTS}/tables/conversion_fields.md",
        classes=f"{RESULTS}/tables/conversion_classes.csv",
        words=f"{RESULTS}/tables/conversion_words.csv",
    log:
        f"{RESULTS}/logs/tabulate_conversion/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/tabulate_conversion/all.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        translator=lookup(dpath="sweep/translator", within=config),
        dataset=lookup(dpath="dataset/name", within=config),
        notes=get_notes(),
        out=subpath(output.csv, parent=True),
    shell:
        """
        python -m fieldguide.tables.tabulate_conversion \
            --measures {input.measures:q} \
            --cells {input.cells:q} \
            --translator {params.translator:q} \
            --dataset {params.dataset:q} \
            {params.notes} \
            --out {params.out:q} &>{log:q}
        """


rule plot_conversion:
    """The measures by translator, and the principal components of a few classes before and after translation."""
    input:
        csv=f"{RESULTS}/tables/conversion.csv",
        records=f"{RESULTS}/records/images.csv",
        classes=f"{RESULTS}/records/classes.csv",
        images=get_image_features("target"),
        source=get_drawn_source(),
        code=get_code("tables.plot_conversion"),
    output:
        svg=report(
            f"{RESULTS}/figures/conversion.svg",
            caption="../report/conversion_figure.rst",
            category="Conversion",
            labels={"what": "conversion accuracy", "form": "figure"},
        ),
        pca=report(
            f"{RESULTS}/figures/conversion_pca.svg",
            caption="../report/conversion_pca.rst",
            category="Conversion",
            labels={"what": "images and texts, before and after translation", "form": "figure"},
        ),
    log:
        f"{RESULTS}/logs/plot_conversion/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_conversion/all.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        source=lambda wildcards, input: shlex.quote("=".join([*get_sources()[:1], *input.source])),
        translator=lookup(dpath="sweep/translator", within=config),
        shown=lookup(dpath="conversion/classes", within=config),
    shell:
        """
        python -m fieldguide.tables.plot_conversion \
            --csv {input.csv:q} \
            --records {input.records:q} \
            --classes {input.classes:q} \
            --images {input.images:q} \
            --source {params.source} \
            --translator {params.translator:q} \
            --count {params.shown} \
            --svg {output.svg:q} \
            --pca {output.pca:q} &>{log:q}
        """
