"""Read a model's folder: JSON files, adapters and the headers of the weights. No module imports torch."""
