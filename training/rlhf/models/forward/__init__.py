"""Forward passes over rows of prompts and responses, and the log-probabilities that they compute."""
