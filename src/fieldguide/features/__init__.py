"""From records to features: images and texts through the frozen backbone, or as the user computed them elsewhere.

In: records and images, tables of texts, a CLIP by open_clip. Out: safetensors files whose rows follow a table, in
shards: image features (n, d), and of texts pooled features (u, d) and token features (total, width).

The stages are the face: `download_backbone`, `encode_images`, `encode_texts`, `import_features`. Others use `labelled`
(the labelled images, their split, and only those rows of their features that are asked for), `store` (any feature file:
written, read, checked against its table; numpy alone), `tokens` (token features, a batch at a time), `backbone` (the
network itself, the only module here that computes with torch beside the encoders) and `tokenizer`.
"""
