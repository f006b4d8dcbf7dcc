"""From raw archives and the user's own files to records: which images there are, of which class, in which split.

In: archives (CUB, Reed, COCO), folders of images, tables of people's own. Out: `records/images.csv`,
`records/classes.csv` and `records/pairs.csv`; images by name.

The stages are the face: `download_archive`, `unpack_archive`, `index_images` (CUB's layout), `index_folder` (images of
one's own), `index_pairs` (image/caption pairs). Others use `image_store` (an image by its name, from a folder or a
zip), `records` (columns of the tables, and what every data set has to have), `class_names` (names of another list
matched to ours) and `user_files` (people's texts, tables and JSON, read strictly). `archives` says what an archive may
not do, `transfer` how a file comes over a network that breaks.
"""
