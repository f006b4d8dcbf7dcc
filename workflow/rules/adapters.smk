"""Adapters: one linear layer per cell, all seeds of a cell in one job."""


localrules:
    plan_images,


rule plan_images:
    """Per seed, the order in which training images are kept."""
    input:
        records=layout.image_records,
    output:
        layout.plan("{sampling}"),
    log:
        layout.log("plan_images", "{sampling}"),
    benchmark:
        layout.benchmark("plan_images", "{sampling}")
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=adapters.code_of("adapters.plan_images"),
        settings=adapters.plan_settings,
    shell:
        """
        python -m fieldguide.adapters.plan_images \
            --records {input.records:q} \
            --settings {params.settings:q} \
            --out {output:q} &>{log:q}
        """


rule tune_adapter:
    """Choose a recipe's hyper-parameters on held-out training images, once for all of its cells."""
    input:
        records=layout.image_records,
        images=layout.image_features("dataset"),
        texts=adapters.texts,
    output:
        layout.tuning("{translator}", "{recipe}", "{budget}"),
    log:
        layout.log("tune_adapter", "{translator}/{recipe}/{budget}"),
    benchmark:
        layout.benchmark("tune_adapter", "{translator}/{recipe}/{budget}")
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/adapter", within=config)
    resources:
        mem_mb=more_each_try(8000),
        runtime=more_each_try(240),
    params:
        code=adapters.code_of("adapters.tune_adapter"),
        settings=adapters.tuning_settings,
        sources=adapters.source_options,
        threads=lookup(dpath="threads/adapter", within=config),
    shell:
        """
        python -m fieldguide.adapters.tune_adapter \
            --records {input.records:q} \
            --images {input.images:q} \
            {params.sources:q} \
            --settings {params.settings:q} \
            --threads {params.threads} \
            --out {output:q} &>{log:q}
        """


rule train_adapter:
    """Train and score one cell: a ratio, a text source, a sampling and a redraw."""
    input:
        records=layout.image_records,
        classes=layout.class_records,
        images=layout.image_features("dataset"),
        plan=layout.plan("{sampling}"),
        tuning=adapters.tuning,
        texts=adapters.texts,
    output:
        result=layout.cell_file(),
        weights=layout.cell_file(ending="safetensors"),
        correct=layout.cell_file(ending="correct.safetensors"),
    log:
        layout.log("train_adapter", CELL),
    benchmark:
        layout.benchmark("train_adapter", CELL)
    wildcard_constraints:
        translator=either(["none", *checked.translators]),
        source=either(["none", NAMES, *checked.texts]),
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/adapter", within=config)
    resources:
        mem_mb=more_each_try(4000),
        runtime=more_each_try(adapters.cell_minutes),
    params:
        code=adapters.code_of("adapters.train_adapter"),
        settings=adapters.cell_settings,
        sources=adapters.source_options,
        tuning=adapters.tuning_options,
        threads=lookup(dpath="threads/adapter", within=config),
    shell:
        """
        python -m fieldguide.adapters.train_adapter \
            --records {input.records:q} \
            --classes {input.classes:q} \
            --images {input.images:q} \
            --plan {input.plan:q} \
            {params.tuning:q} \
            {params.sources:q} \
            --settings {params.settings:q} \
            --threads {params.threads} \
            --weights {output.weights:q} \
            --out {output.result:q} &>{log:q}
        """


rule calibrate_adapters:
    """Make probabilities of the cells' logits, and write their cards, for `fieldguide classify`; one job for all."""
    input:
        records=layout.image_records,
        images=layout.image_features("dataset"),
        plans=targets.calibrated_plans,
        texts=adapters.calibration_texts,
        cells=targets.calibrated_cells,
    output:
        calibrations=targets.calibrations,
        cards=targets.cards,
    log:
        layout.log("calibrate_adapters"),
    benchmark:
        layout.benchmark("calibrate_adapters")
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/adapter", within=config)
    resources:
        mem_mb=more_each_try(4000),
        runtime=more_each_try(120),
    params:
        code=adapters.code_of("inference.calibrate_adapters"),
        texts=adapters.calibration_options,
        threads=lookup(dpath="threads/adapter", within=config),
    shell:
        """
        python -m fieldguide.inference.calibrate_adapters \
            --records {input.records:q} \
            --images {input.images:q} \
            --plans {input.plans:q} \
            {params.texts:q} \
            --cells {input.cells:q} \
            --threads {params.threads} &>{log:q}
        """


rule probe_features:
    """scikit-learn's logistic regression on image features alone: what the thesis recipe should come near."""
    input:
        records=layout.image_records,
        images=layout.image_features("dataset"),
        cells=targets.probed_cells,
    output:
        layout.table("probe.csv"),
    log:
        layout.log("probe_features"),
    benchmark:
        layout.benchmark("probe_features")
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/encode", within=config)
    resources:
        mem_mb=more_each_try(8000),
        runtime=more_each_try(240),
    params:
        code=adapters.code_of("tables.probe_features"),
        settings=tables.probe,
        threads=lookup(dpath="threads/encode", within=config),
    shell:
        """
        python -m fieldguide.tables.probe_features \
            --records {input.records:q} \
            --images {input.images:q} \
            --cells {input.cells:q} \
            --settings {params.settings:q} \
            --threads {params.threads} \
            --out {output:q} &>{log:q}
        """
