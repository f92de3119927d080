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


_THREADS = """
import ctypes, sys, threading
import numpy as np
from foretype_models import heap

if sys.argv[1] == "sparing":
    heap.be_sparing()
for _ in range(3):
    thread = threading.Thread(target=lambda: np.ones(2**16))
    thread.start()
    thread.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
"""

_on_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone"
)


@_on_glibc
@pytest.mark.parametrize(("how", "heaps"), [("sparing", 1), ("as usual", 2)])
def test_threads_of_a_server_share_one_heap(how: str, heaps: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _THREADS, how], check=True, capture_output=True, text=True
    )
    assert done.stdout.count("<heap nr=") == heaps


@_on_glibc
def test_what_is_freed_stays_with_the_process_meanwhile_and_no_longer() -> None:
    """Beside small amounts, in MB, of arrays of up to 32."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURING], check=True, capture_output=True, text=True
    )
    meanwhile, *after = json.loads(done.stdout)
    assert meanwhile > 30
    assert max(after) < 5, after
