"""Translators: text features to the image features they would have had, learnt on image/caption pairs (COCO) alone.

In: records/pairs.csv with the pairs' image and text features; then the text features of any source.
Out: translators/<backbone>/<name>/translator.safetensors, by `train_qformer` (step by step) or `fit_translator` (in one
go, hyper-parameters chosen by `selection`); translated/…/<source>.safetensors, by `translate_texts`; and
conversion/…/<name>.json, by `measure_conversion`: how well translated texts stand in for images.

The face: `registry` (every kind, and what fits it), `settings` (what the configuration says of them),
`translate_texts.run_translator`, `results.ConversionResult`, and the stages named above. Mathematics, on arrays alone:
`conversion` (the measures), `retrieval` (R@k), `qformer` and `residual` (the network and its linear base), `batches`,
`selection`, `task`. `pairs` reads pairs and says which may be learnt from; `training` is one training of a Q-Former.

A further kind: a file in `kinds/` and its line in `registry.TRANSLATORS`.
"""
