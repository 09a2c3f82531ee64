"""Preference learning on plain torch and transformers: no Django here, every loop runs from a Python
prompt."""
