"""The hook on a real libvirt, in a lab host of its own.

covers: H9
"""

import os
from pathlib import Path

import pytest

from tests.adapters.lab_host import lab_host, run_inside


@pytest.mark.lab
@pytest.mark.slow
def test_a_real_libvirt_asks_our_hook() -> None:
    with lab_host(f"hook-{os.getpid()}") as host:
        run_inside(host, Path(__file__).with_name("hook_inside_host.py"))
