"""Adapters: one linear layer, or a baseline, for each cell of the comparison.

In: records and features of the labelled images, text tables with their features, translated and as they are. Out:
plans/ (which images and texts each cell keeps), tuning/ (hyper-parameters), adapters/ (a cell's result and weights).
Faces: the stages `plan_images`, `tune_adapter` and `train_adapter`; `results` is a cell's result as a file, `settings`
the configuration. A cell runs one way: `inputs` reads everything, `training` computes, the stage writes. Below them
`plans` and `cells` say which images and texts a run sees, `recipes` how a classifier is trained, `linear` is the layer.
"""
