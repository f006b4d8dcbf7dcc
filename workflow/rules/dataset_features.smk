"""A data set whose features were computed elsewhere: nothing is unpacked, indexed, encoded or translated by training."""


localrules:
    import_features,
    import_text_features,


# The records, tables and features are made here, and not from archives by a backbone.
ruleorder: import_features > index_images
ruleorder: import_features > encode_images
ruleorder: import_text_features > index_captions
ruleorder: import_text_features > encode_texts
ruleorder: write_control > encode_texts


rule import_features:
    """Image features, classes and splits from the user's files."""
    input:
        files=data.feature_files,
    output:
        images=layout.image_records,
        classes=layout.class_records,
        features=layout.image_features("dataset"),
    log:
        layout.log("import_features"),
    benchmark:
        layout.benchmark("import_features")
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        code=code("features.import_features"),
        files=data.feature_words,
        backbone=layout.backbone,
    shell:
        """
        python -m fieldguide.features.import_features \
            {params.files:q} \
            --backbone {params.backbone:q} \
            --images-out {output.images:q} \
            --classes-out {output.classes:q} \
            --out {output.features:q} &>{log:q}
        """


rule import_text_features:
    """A source's text features and its table from the user's files."""
    input:
        files=texts.feature_files,
        images=layout.image_records,
        classes=layout.class_records,
        image_features=layout.image_features("dataset"),
    output:
        table=layout.texts("{source}"),
        features=layout.text_features("{source}"),
    log:
        layout.log("import_text_features", "{source}"),
    benchmark:
        layout.benchmark("import_text_features", "{source}")
    wildcard_constraints:
        source=either(layout.sources_of("features")),
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        code=code("texts.import_text_features"),
        settings=texts.feature_settings,
    shell:
        """
        python -m fieldguide.texts.import_text_features \
            --source {wildcards.source:q} \
            --settings {params.settings:q} \
            --images {input.images:q} \
            --classes {input.classes:q} \
            --image-features {input.image_features:q} \
            --table-out {output.table:q} \
            --out {output.features:q} &>{log:q}
        """
