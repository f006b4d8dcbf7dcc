"""What every other package stands on; it imports none of them.

In: nothing of the project. Out: `errors` (what a user reads), `files` (nothing half-written), `stage` (a stage's
command line, log and exit), `settings` (what the configuration's models are made of), `provenance` (a hash of a stage's
code), `signals`, `streams`, `random`, `arrays`, `significance`, `plotting` and `versions`.
"""
