"""Lets forked processes use torch from several threads."""

from __future__ import annotations

import os

import torch


def _renew_threads() -> None:
    """Create torch's thread pool in the only thread of a forked process. Otherwise, the threads that load a
    model create the pool at the same time, and one of them raises "Invalid thread pool!" (torch 2.13.0, in 1
    of 16 forks). In production, a run's process calls `set_num_threads` before it loads a model."""
    torch.set_num_threads(torch.get_num_threads())


os.register_at_fork(after_in_child=_renew_threads)
