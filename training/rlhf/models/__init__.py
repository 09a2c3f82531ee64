"""Language models and reward models.

The packages are listed from the lowest layer up. Each package imports only packages listed before it:

- `files`: reading the files in a model's folder (no torch);
- `checks`: refusing an unusable model before its weights are loaded (no torch);
- `parts`: trunks, heads and LoRA adapters of a model in memory;
- `tokens`: converting conversations to token IDs and back, with the model's chat template;
- `forward`: forward passes that compute log-probabilities;
- `loading`: loading, refusing and saving models.
"""
