"""The cache in the database, the time limits of statements, and responses to database errors."""
