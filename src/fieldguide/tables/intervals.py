"""What the tables' ± holds and what it leaves out, in words. Standard library only."""

from __future__ import annotations

ONE_SEED = "one seed, so no interval"
IMAGES = "that other test images would give other figures"
TRANSLATOR = "what another training of the translator would give"


def describe_interval(images: int | None = None, has_translator: bool = False) -> str:
    """The kind of interval that ± is half of, and what it leaves out, to follow "half-width of the".

    images: how many test images were drawn anew for it, none where it is over seeds alone. has_translator: whether
    texts went through a translator, which is trained once.
    """
    held = f"95% interval over seeds and the {images:,} test images" if images else "95% t interval over seeds"
    left_out = [] if images else [IMAGES]
    left_out += [TRANSLATOR] if has_translator else []
    return f"{held}, which leaves out {' and '.join(left_out)}" if left_out else held
