"""fieldguide: how far can text stand in for labelled photographs when training a fine-grained image classifier?"""

__version__ = "0.1.0"
