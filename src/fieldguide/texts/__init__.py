"""Texts in place of images: written by people or by an LLM, or brought along by the user.

In: the records of classes and images, and a source's captions, ledger of replies, file or features. Out, for each
source: `texts/raw/<source>.csv` as it came and `texts/<source>.csv` as it is used (`table.TextRow`, a row a text), and
`texts/<source>.md` to read. Captions of test images never come in.

Faces: `table` (reading and writing those tables), `source` (a source with its features, as an adapter reads it),
`naming` (class names in texts), `ledger` and `questions` (what was asked and answered), `settings` (the configuration).

Stages: `index_captions`, `generate_texts`, `price_texts`, `import_texts`, `import_text_features`, `check_texts`,
`write_control`, `write_prompts`. `generate_texts` asks by `llm_client`, which keeps to `rate_limit` (pace, concurrency,
budget), reads an `endpoint`'s `answers`, finds out the form that it takes (`negotiation`), takes away `reasoning` and
judges `replies`; `check_texts` finds in `checks` what it writes by `text_page`; `write_control` draws by `controls`.
"""
