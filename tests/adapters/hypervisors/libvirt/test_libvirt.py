"""The libvirt adapter keeps the contract on a real libvirt, in a lab host of its own."""

import os
from pathlib import Path

import pytest

from tests.adapters.lab_host import lab_host, run_inside


@pytest.mark.lab
@pytest.mark.slow
def test_it_keeps_the_contract_on_a_real_libvirt() -> None:
    with lab_host(f"hypervisor-{os.getpid()}") as host:
        run_inside(host, Path(__file__).with_name("inside_host.py"))


@pytest.mark.lab
@pytest.mark.slow
def test_a_real_libvirt_says_what_cpus_it_offers() -> None:
    with lab_host(f"cpus-{os.getpid()}") as host:
        run_inside(host, Path(__file__).with_name("cpus_inside_host.py"))
