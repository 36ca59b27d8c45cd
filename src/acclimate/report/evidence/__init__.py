"""The evidence record of a report: its shape, what opens its gate, and what it may not say."""
