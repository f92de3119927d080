"""What is freed, and when the system has it back."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

_MEASURING = """
import json
import numpy as np
from foretype_models import heap

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

def freed():
    for _ in range(3):
        for size in (2**20, 2**23, 2**25):
            np.ones(size, dtype=np.uint8)
    return resident()

def freed_below():
    large, above = np.ones(2**25, dtype=np.uint8), np.ones(2**16, dtype=np.uint8)
    del large
    return resident() - above.nbytes / 2**20

def freed_in_pieces():
    pieces = [np.ones(2**16, dtype=np.uint8) for _ in range(500)]
    del pieces
    return resident()

before = resident()
with heap.keeping_what_is_freed():
    meanwhile = freed()
after = [resident(), freed(), freed_below(), freed_in_pieces()]
print(json.dumps([meanwhile - before, *(now - before for now in after)]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_what_is_freed_stays_with_the_process_meanwhile_and_no_longer() -> None:
    """Beside small amounts, in MB, of arrays of up to 32."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURING], check=True, capture_output=True, text=True
    )
    meanwhile, *after = json.loads(done.stdout)
    assert meanwhile > 30
    assert max(after) < 5, after
