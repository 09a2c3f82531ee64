"""The parts of a model in memory: trunk, head and LoRA adapters."""
