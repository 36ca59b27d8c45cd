"""The lab: a small rendered world with an oracle, and the models trained on it."""
