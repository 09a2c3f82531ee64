"""Iterative methods. Each of them ends after a limited number of steps and states how it ended."""
