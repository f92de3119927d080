"""Tiny networks gain nothing from threads, and wait for each other on a busy machine."""

from __future__ import annotations

import os

import torch

# The command, but that it writes its checkpoint after every step, not after every minute.
EAGER = """
from functools import partial
from foretype_training import trainer
trainer.Trainer = partial(trainer.Trainer, checkpoint_seconds=0)
from foretype.__main__ import main
main()
"""

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that the tests start
