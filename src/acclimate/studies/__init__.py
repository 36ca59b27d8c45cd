"""Grids of recipes that answer one question each."""
