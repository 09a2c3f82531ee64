"""Read a model's folder: JSON files, adapters and the headers of the weights. No module in this package
imports torch."""
