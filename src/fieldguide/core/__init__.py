"""What every package needs, and nothing of any field: no module here knows of images, texts or classes.

In: arrays, paths, command lines. Out: the same, safely. Faces: `stage` (a command line, its log, signals and threads),
`settings` (one JSON argument, checked), `errors` (a sentence in place of a traceback), `files` (whole or not at all),
`arrays` and `random` (types and generators), `significance`, `plotting`, and `provenance` with `versions` (a hash of
the code that a stage runs, and of what computed it). `streams` and `signals` say what becomes of a lost reader and of a
request to stop.
"""
