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
        code=code("adapters.plan_images"),
        seeds=lookup(dpath="sweep/seeds", within=config),
    shell:
        """
        python -m fieldguide.adapters.plan_images \
            --records {input.records:q} \
            --sampling {wildcards.sampling} \
            --seeds {params.seeds} \
            --out {output:q} &>{log:q}
        """


rule tune_adapter:
    """Choose a recipe's hyper-parameters on held-out training images, once for all of its cells."""
    input:
        records=layout.image_records,
        images=layout.image_features("target"),
        texts=adapters.tuning_texts,
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
        adapter=lookup(dpath="adapter", within=config),
        budget=adapters.budget,
        sources=adapters.tuning_source_options,
        threads=lookup(dpath="threads/adapter", within=config),
    shell:
        """
        python -m fieldguide.adapters.tune_adapter \
            --records {input.records:q} \
            --images {input.images:q} \
            {params.sources} \
            --recipe {wildcards.recipe} \
            --learning-rates {params.adapter[learning_rates]} \
            --weight-decays {params.adapter[weight_decays]} \
            {params.budget} \
            --batch {params.adapter[batch]} \
            --validation {params.adapter[validation]} \
            --seeds {params.adapter[tuning_seeds]} \
            --threads {params.threads} \
            --out {output:q} &>{log:q}
        """


rule train_adapter:
    """Train and score one cell: a ratio, a text source, a sampling and a redraw."""
    input:
        records=layout.image_records,
        classes=layout.class_records,
        images=layout.image_features("target"),
        plan=layout.plan("{sampling}"),
        tuning=adapters.tuning,
        texts=adapters.cell_texts,
    output:
        result=layout.cell_file(),
        weights=layout.cell_file(ending="safetensors"),
        card=layout.cell_file(ending="md"),
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
        runtime=more_each_try(15),
    params:
        code=adapters.code_of("adapters.train_adapter"),
        adapter=lookup(dpath="adapter", within=config),
        budget=adapters.budget,
        dataset=lookup(dpath="dataset/name", within=config),
        seeds=lookup(dpath="sweep/seeds", within=config),
        source=adapters.cell_source_option,
        tuning=adapters.tuning_option,
        threads=lookup(dpath="threads/adapter", within=config),
    shell:
        """
        python -m fieldguide.adapters.train_adapter \
            --records {input.records:q} \
            --classes {input.classes:q} \
            --dataset {params.dataset:q} \
            --images {input.images:q} \
            --plan {input.plan:q} \
            --recipe {wildcards.recipe} \
            {params.tuning} \
            {params.source} \
            --translator {wildcards.translator} \
            --ratio {wildcards.ratio} \
            --redraw {wildcards.redraw} \
            --seeds {params.seeds} \
            {params.budget} \
            --batch {params.adapter[batch]} \
            --threads {params.threads} \
            --weights {output.weights:q} \
            --card {output.card:q} \
            --out {output.result:q} &>{log:q}
        """


rule probe_features:
    """scikit-learn's logistic regression on image features alone: what the thesis recipe should come near."""
    input:
        records=layout.image_records,
        images=layout.image_features("target"),
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
        code=code("tables.probe_features"),
        seeds=lookup(dpath="sweep/seeds", within=config),
        threads=lookup(dpath="threads/encode", within=config),
    shell:
        """
        python -m fieldguide.tables.probe_features \
            --records {input.records:q} \
            --images {input.images:q} \
            --cells {input.cells:q} \
            --seeds {params.seeds} \
            --threads {params.threads} \
            --out {output:q} &>{log:q}
        """
