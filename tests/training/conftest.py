"""Tiny networks gain nothing from threads, and wait for each other on a busy machine."""

from __future__ import annotations

import os

import torch

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that the tests start
