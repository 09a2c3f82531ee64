"""Preference learning on plain PyTorch and transformers. Django is not needed.

Every training loop can be run from a Python prompt. The packages are listed from the lowest layer up. Each
package imports only packages listed before it:

- `core`: recipes (the settings of a run), the reporter, checkpoints, multiple processes, learning rates;
- `models`: loading and saving models, adapters, chat templates, log-probabilities, model sizes, and checks
  that refuse a model that can't work (`models.checks`, no torch);
- `data`: reading rankings from files and converting rankings to batches of tokens;
- `generation`: sampling from a policy and scoring the samples;
- `report`: measuring how well a reward model predicts held-out rankings (NumPy only);
- `planning`: estimates of a run's memory, disk space and compute before the run starts (no torch);
- `reward`: losses on rankings, and training, scoring and uncertainty of reward models;
- `policy`: supervised fine-tuning, rejection sampling and PPO.

`python -m training.rlhf.train_reward_model` trains a reward model from a file of rankings.
"""
