"""The aviary: small rendered data in the real data sets' layouts, so that the whole workflow runs without a download.

In comes a seed and how many species, photographs and scenes there are; out come the four archives of CUB, Reed and COCO
(`render_aviary`), a sheet of the species (`draw_birds`), the ledger of an LLM's replies (`write_ledger`) and the small
CLIP that encodes them (`train_clip`). `traits` says what is drawn, `render` draws it, `annotators` and `writer`
describe it. No other package knows of it.
"""
