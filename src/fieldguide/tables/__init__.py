"""Tables and figures of results.

In: the cells' results (`adapters/…/ratio-….json`), translators' measures, records of images and classes. Out: tidy CSVs
with their pages in `tables/`, and figures. Faces: `results` reads cells as a frame, from which every table is a pivot
or a merge; `rows` and `comparison` lay out the comparison table; `differences`, `image_worth` and `sampling_study`
compute; `grid`, `markdown`, `latex` and `html` write; `load` is for notebooks (`fieldguide.load_results`). Modules that
begin with a verb are stages.
"""
