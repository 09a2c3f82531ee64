"""Preference learning on plain PyTorch and transformers. Django is not needed.

Every training loop can be run from a Python prompt. The packages are listed from the lowest layer up. Each
package imports only packages listed before it:

- `recipes`: the settings of each kind of run (no torch);
- `core`: the reporter, checkpoints, seeds, multiple processes, learning rates;
- `models`: reading a model's files (`files`, no torch), checks that refuse an unusable model (`checks`, no
  torch), trunks, heads and adapters (`parts`), chat templates and tokens (`tokens`), log-probabilities
  (`forward`), and loading and saving models (`loading`);
- `data`: reading rankings from files and converting rankings to batches of tokens;
- `generation`: sampling from a policy and scoring the samples;
- `report`: measuring how well a reward model predicts held-out rankings (NumPy only);
- `planning`: estimates of a run's memory, disk space and compute before the run starts (no torch);
- `reward`: losses on rankings, and training, scoring and uncertainty of reward models;
- `judging`: one reward from one or several reward models, with floors;
- `objectives`: advantages, KL estimators and losses of policies, as pure functions;
- `rollouts`: the answers that PPO and RLOO train on, and the state that both loops have in common;
- `selection`: the candidates of rejection sampling, and the choice among them;
- `policy`: the loops that train a policy: SFT, rejection sampling, DPO, RLOO and PPO.

`python -m training.rlhf.train_reward_model` trains a reward model from a rankings file.
"""
