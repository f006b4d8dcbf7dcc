"""Recipes and baselines: how a cell's classifier is trained.

In: a `task.Task`, arrays and draws. Out: a `task.Fitted`, a classifier with a run for each seed. `registry` lists them
and imports nothing; each is a module with a `fit`, and `trials` where it has something to choose.
"""
