"""Room 2: pairs to task triplets."""
