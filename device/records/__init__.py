"""What is kept: one SQLite database, its writer, its readers, its schema."""
