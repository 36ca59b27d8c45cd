"""Evaluation: benchmarks as data, image conditions, answer extraction, scorers; the door is `stage`."""
