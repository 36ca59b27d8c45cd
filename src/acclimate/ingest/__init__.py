"""Room 1: rows of the user's files become image-caption pairs."""
