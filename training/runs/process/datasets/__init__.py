"""The data that a run trains on: prompts, the prompts whose answers have the most varied rewards, and
demonstrations."""
