"""The one exception for bad input: a sentence a person can act on."""


class FieldguideError(Exception):
    """Bad input, told in one sentence that names the file, the key or the class, and the way out."""
