"""Interpret columns by the words in their names, for the readers of pairs and of tables."""
