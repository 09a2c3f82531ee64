"""Time limits of the database, and responses to its errors."""
