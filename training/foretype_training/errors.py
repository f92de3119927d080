"""What can go wrong with a training run through no fault of the program.

    TrainingError           the run failed: full disk, diverged loss   (exit code 1)
    └── InputError          what the user gave cannot be used          (exit code 2)

Messages are one sentence that says what is wrong, where, and what to do.
"""


class TrainingError(Exception):
    """The run failed."""


class InputError(TrainingError):
    """What the user gave cannot be used."""
