"""One translator a file. `registry.TRANSLATORS` names them; nothing else does.

A file holds pure functions on arrays (`translators.task` has the types), and the reference of what it does:

- `fit(pairs, setting, seed) -> state`: arrays by name, which become translator.safetensors. Not in those that a stage
  of their own trains (`train_qformer`).
- `translate(state, texts) -> (n, d)` float32 of unit norm; texts (n, d) pooled features, or the token features of texts
  where the registry says `tokens`; with `device` where it says `network`. One that draws at random has its `seed` in
  the state.
- `VALUES`: the values of each hyper-parameter that are tried, all combinations, whole numbers where only those make
  sense; `LARGEST`, where one has an upper bound.

A new one needs its line in the registry and one in the table of docs/translators.md; tests/unit/translators runs every
line of the registry.
"""
