"""The user's own data set: folders of images, or a table of them."""


# The records are made here, and not from the lists of a CUB archive.
ruleorder: index_folder > index_images


rule index_folder:
    """List the labelled images with class and split; every image must open."""
    input:
        folders=data.image_folders,
        table=data.image_table,
    output:
        # Beside it images.damaged.csv, which is not declared, as Snakemake deletes the outputs of a job that fails.
        images=layout.image_records,
        classes=layout.class_records,
    log:
        layout.log("index_folder"),
    benchmark:
        layout.benchmark("index_folder")
    priority: 1  # encoders wait for it
    conda:
        "../../envs/fieldguide.yaml"
    threads: 2
    resources:
        mem_mb=more_each_try(2000),
        runtime=more_each_try(60),
    params:
        code=code("data.index_folder"),
        root=data.image_root,
        table=data.table_words,
        settings=data.image_settings,
    shell:
        """
        python -m fieldguide.data.index_folder \
            --root {params.root:q} \
            {params.table:q} \
            --settings {params.settings:q} \
            --workers {threads} \
            --images-out {output.images:q} \
            --classes-out {output.classes:q} &>{log:q}
        """
