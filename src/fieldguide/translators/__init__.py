"""Translators: text features to the image features they would have had. `registry` lists them; each is a module."""
