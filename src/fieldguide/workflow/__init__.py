"""What the Snakemake rules ask: the checked configuration, paths, targets, and the arguments of a job.

In comes a merged configuration; out come strings and lists that a `.smk` file names. `config` checks it, `layout` says
where everything lies, `targets` lists what can be asked for, and each rules file has a module of its own name here,
whose class answers for its jobs. Nothing here runs a stage or writes a file.
"""
