"""The tables of stage one: their columns."""

IMAGE_COLUMNS = ("image_id", "path", "class_id", "split")
CLASS_COLUMNS = ("class_id", "class_name", "folder")
PAIR_COLUMNS = ("pair_id", "image_id", "path", "caption")
