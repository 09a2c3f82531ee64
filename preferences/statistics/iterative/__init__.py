"""Iterative estimators. Each estimator ends after a limited number of steps and states how it ended."""
