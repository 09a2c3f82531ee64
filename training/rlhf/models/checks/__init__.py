"""Checks that read the files in a model's folder and refuse an unusable model before its weights are loaded.

The web process performs these checks at a launch, and the run's own process repeats them. The web process
loads neither torch nor transformers, so this package doesn't import them. It reads `config.json`, the
tokenizer's JSON files and the headers of the safetensors files. Properties that cannot be read from these
files are not checked here. `loading.refusals` checks them when the model is loaded.
"""
