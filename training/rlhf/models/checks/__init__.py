"""Checks that read the files in a model's folder and refuse an unusable model before its weights are loaded.

A launch in the web process and the run's own process perform the same checks. This package therefore imports
neither torch nor transformers. It reads `config.json`, the tokenizer's JSON files and the headers of the
safetensors files. Properties that cannot be read from these files are not checked here.
`loading.refusals` checks them when the model is loaded.
"""
