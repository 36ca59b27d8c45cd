"""Runs again what a record claims, beside the pipeline."""
