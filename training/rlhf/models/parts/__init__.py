"""The parts of a model in memory: trunk, head, LoRA adapters and linear layers."""
