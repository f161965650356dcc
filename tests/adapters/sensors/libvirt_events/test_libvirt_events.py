"""libvirt's events, silence and absence are heard as they are, in a lab host of its own."""

import os
from pathlib import Path

import pytest

from tests.adapters.lab_host import lab_host, run_inside


@pytest.mark.lab
@pytest.mark.slow
def test_a_real_libvirt_is_heard() -> None:
    with lab_host(f"events-{os.getpid()}") as host:
        run_inside(host, Path(__file__).with_name("inside_host.py"))
