"""The words in the names of columns, shared by the readers of pairs and tables."""
