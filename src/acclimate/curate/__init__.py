"""Room 3: triplets to judged triplets."""
