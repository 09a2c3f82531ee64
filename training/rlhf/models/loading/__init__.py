"""Load models from folders or the hub, refuse those that can't be used, and save trained ones."""
