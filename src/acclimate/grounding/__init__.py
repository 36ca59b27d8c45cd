"""Claims about the literature, checked against documents that the user gives."""
