"""A data set whose features were computed elsewhere: nothing is unpacked, indexed, encoded or translated by training."""


localrules:
    import_features,
    import_text_features,


# The records, tables and features are made here, and not from archives by a backbone.
ruleorder: import_features > index_images
ruleorder: import_features > encode_images
ruleorder: import_text_features > index_captions
ruleorder: import_text_features > encode_texts


rule import_features:
    """Image features, classes and splits from the user's files."""
    input:
        files=get_existing(file for _, file in get_feature_files()),
        code=get_code("features.import_features"),
    output:
        images=f"{RESULTS}/records/images.csv",
        classes=f"{RESULTS}/records/classes.csv",
        features=get_image_features("target"),
    log:
        f"{RESULTS}/logs/import_features/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/import_features/all.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        files=get_feature_options(),
        backbone=BACKBONE,
    shell:
        """
        python -m fieldguide.features.import_features \
            {params.files} \
            --backbone {params.backbone} \
            --images-out {output.images:q} \
            --classes-out {output.classes:q} \
            --out {output.features:q} &>{log:q}
        """


rule import_text_features:
    """A source's text features and its table from the user's files."""
    input:
        files=get_text_feature_files,
        images=f"{RESULTS}/records/images.csv",
        classes=f"{RESULTS}/records/classes.csv",
        image_features=get_image_features("target"),
        code=get_code("texts.import_text_features"),
    output:
        table=f"{RESULTS}/texts/{{source}}.csv",
        features=get_text_features("{source}"),
    log:
        f"{RESULTS}/logs/import_text_features/{{source}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/import_text_features/{{source}}.tsv"
    wildcard_constraints:
        source=get_sources_of("features"),
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        file=lambda wildcards: checked.texts[wildcards.source].path,
        options=get_text_feature_options,
    shell:
        """
        python -m fieldguide.texts.import_text_features \
            --file {params.file:q} \
            --source {wildcards.source:q} \
            {params.options} \
            --images {input.images:q} \
            --classes {input.classes:q} \
            --image-features {input.image_features:q} \
            --table-out {output.table:q} \
            --out {output.features:q} &>{log:q}
        """
