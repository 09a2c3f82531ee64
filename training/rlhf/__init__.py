"""Preference learning on plain PyTorch and transformers. No Django: every loop runs from a Python prompt.

Packages, from the bottom up. Each imports only those above it in this list:

- `core`: recipes (a run's settings), the reporter that a loop talks to, checkpoints, processes, learning rates;
- `models`: loading and saving, adapters, chat templates, log-probabilities, a model's size;
- `data`: rankings from files, and from rankings to batches of tokens;
- `generation`: sampling from a policy, and judging what it samples;
- `report`: what a reward model is worth on held-out rankings (NumPy only);
- `planning`: the memory, disk space and arithmetic of a run before it starts (no torch);
- `reward`: losses on rankings, training a reward model, scoring with it, its uncertainty;
- `policy`: supervised fine-tuning, rejection sampling, PPO.

`python -m training.rlhf.train_reward_model` trains a reward model from a file of rankings.
"""
