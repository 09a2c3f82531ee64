"""The data that a run trains on: prompts, demonstrations and the prompts with varied rewards."""
