"""Conversations as token IDs, encoded with a tokenizer and its chat template."""
