"""A run of Snakemake, supervised: one at a time per results folder, stopped in seconds, followed while it works.

In: Snakemake's events, its benchmark files and the stages' logs. Out: lines on the screen, the time left, `run.md`.

The Snakefile's face: `guard` (the lock, signals, lost readers), `hooks` (`onstart`, `onsuccess`, `onerror`), `cluster`
(checks before jobs are submitted). Snakemake's: `logger`, the plugin `fieldguide`. People's: `demo`, `run_page`,
`summarise_run`. What Snakemake does not promise to keep is in `snakemake_internals` alone.
"""
