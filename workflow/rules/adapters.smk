"""Adapters: one linear layer per cell, all seeds of a cell in one job."""


localrules:
    plan_images,


rule plan_images:
    """Per seed, the order in which training images are kept."""
    input:
        records=f"{RESULTS}/records/images.csv",
        code=get_code("adapters.plan_images"),
    output:
        f"{RESULTS}/plans/{{sampling}}.json",
    log:
        f"{RESULTS}/logs/plan_images/{{sampling}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plan_images/{{sampling}}.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
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
        records=f"{RESULTS}/records/images.csv",
        images=get_image_features("target"),
        texts=get_tuning_texts,
        code=get_recipe_code("adapters.tune_adapter"),
    output:
        f"{RESULTS}/tuning/{BACKBONE}/{{translator}}/{{recipe}}/{{budget}}.json",
    log:
        f"{RESULTS}/logs/tune_adapter/{{translator}}/{{recipe}}/{{budget}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/tune_adapter/{{translator}}/{{recipe}}/{{budget}}.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/adapter", within=config)
    resources:
        mem_mb=get_more_each_try(8000),
        runtime=get_more_each_try(240),
    params:
        adapter=lookup(dpath="adapter", within=config),
        budget=get_budget,
        sources=get_source_options,
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
        records=f"{RESULTS}/records/images.csv",
        classes=f"{RESULTS}/records/classes.csv",
        images=get_image_features("target"),
        plan=f"{RESULTS}/plans/{{sampling}}.json",
        tuning=get_tuning,
        texts=get_cell_texts,
        code=get_recipe_code("adapters.train_adapter"),
    output:
        result=f"{RESULTS}/adapters/{BACKBONE}/{CELL}.json",
        weights=f"{RESULTS}/adapters/{BACKBONE}/{CELL}.safetensors",
        card=f"{RESULTS}/adapters/{BACKBONE}/{CELL}.md",
    log:
        f"{RESULTS}/logs/train_adapter/{CELL}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_adapter/{CELL}.tsv"
    wildcard_constraints:
        translator="|".join(["none", *checked.translators]),
        source="|".join(["none", NAMES, *checked.texts]),
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/adapter", within=config)
    resources:
        mem_mb=get_more_each_try(4000),
        runtime=get_more_each_try(15),
    params:
        adapter=lookup(dpath="adapter", within=config),
        budget=get_budget,
        dataset=lookup(dpath="dataset/name", within=config),
        seeds=lookup(dpath="sweep/seeds", within=config),
        source=get_cell_source,
        tuning=get_tuning_option,
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
        records=f"{RESULTS}/records/images.csv",
        images=get_image_features("target"),
        cells=[get_cell("none", "none", "class-wise", "fixed", ratio) for ratio in (100, 10)],
        code=get_code("tables.probe_features"),
    output:
        f"{RESULTS}/tables/probe.csv",
    log:
        f"{RESULTS}/logs/probe_features/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/probe_features/all.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/encode", within=config)
    resources:
        mem_mb=get_more_each_try(8000),
        runtime=get_more_each_try(240),
    params:
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
