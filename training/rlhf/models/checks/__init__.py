"""Checks that refuse a model that can't work, from the files in its folder and before its weights are loaded.

A launch in the web process and the run's own process make the same checks. This package therefore imports
neither torch nor transformers. It reads `config.json`, the tokenizer's JSON files and the headers of the
safetensors files. A fact that these files do not give is not checked here. After loading, `models.loading`
checks it with the model itself.
"""
