"""Preference learning on plain PyTorch and transformers. No Django: every loop runs from a Python prompt.

Packages, from the bottom up. Each one imports only packages above it in this list:

- `core`: recipes (the settings of a run), the reporter, checkpoints, multiple processes, learning rates;
- `models`: loading and saving, adapters, chat templates, log-probabilities, the size of a model;
- `data`: reading rankings from files, and turning them into batches of tokens;
- `generation`: sampling from a policy and scoring the samples;
- `report`: how well a reward model predicts held-out rankings (NumPy only);
- `planning`: estimates of the memory, disk space and compute of a run before it starts (no torch);
- `reward`: losses on rankings, training a reward model, scoring with it, and its uncertainty;
- `policy`: supervised fine-tuning, rejection sampling and PPO.

`python -m training.rlhf.train_reward_model` trains a reward model from a file of rankings.
"""
