"""Recipes and baselines: how a cell's classifier is trained. `registry` lists them; each is a module with a `fit`."""
