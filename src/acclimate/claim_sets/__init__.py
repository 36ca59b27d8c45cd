"""Claims of published papers as data, judged on numbers that the user gives: tables, studies, records."""
