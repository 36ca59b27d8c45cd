"""Engines answer requests; everything a room knows of a model goes through `engines.protocol`."""
