"""Room 4: pairs and judged triplets to training conversations."""
