"""`foretype train` as the tests that stop it need it."""

from __future__ import annotations

# The command, but that it writes its checkpoint after every step, not after every minute.
EAGER = """
from functools import partial
from foretype_training import trainer
trainer.Trainer = partial(trainer.Trainer, checkpoint_seconds=0)
from foretype.__main__ import main
main()
"""
