"""Using what was trained: naming photographs, and looking up what the guide says of a class.

In: a finished results folder. Out: answers on the terminal, and beside each cell its calibration and its card. Faces:
the commands `classify` and `show`, and the stage `calibrate_adapters`; `held_out` and `calibration` make probabilities
of logits, `domain` says what is no bird of this kind, `model_card` what a classifier was trained on.
"""
