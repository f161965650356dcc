"""Guarded processes are read from the settings; ready-made ones need a line only.

covers: H19
"""

import pytest

from holdfast.facts.guards import READY_MADE
from holdfast.facts.mending import HandOver
from holdfast.facts.settings_reader import SettingsWrong, read_settings
from holdfast.policy.process_ladders import ladders_of


def test_a_line_is_enough_for_what_is_ready_made() -> None:
    guards = read_settings("[process.libvirt]\n[process.nova-compute]\n", "f").processes
    assert guards == (READY_MADE["libvirt"], READY_MADE["nova-compute"])


def test_what_is_said_overrides_what_is_ready_made() -> None:
    [guard] = read_settings('[process.nova-compute]\nunit = "nova.service"\n', "f").processes
    assert guard.units == ("nova.service",)
    assert guard.needs == ("libvirt",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[process.billing]\n", "needs unit, pid_file, cgroup or program to be found by"),
        ('[process.a]\nunit = "a"\n', "must be a systemd service like nova-compute.service"),
        ('[process.a]\nprogram = "a"\nneeds = ["a"]\n', "cannot need itself"),
        ('[process.a]\nprogram = "a"\nrestart = "x"\n', "restart must be a list of words"),
        ('[process.a]\nprogram = "a"\nhand_over_s = 1\n', "must be seconds from 5 to 3600"),
        ('[acting]\nhand_over = "fence"\n', "must be one of report, quarantine, drain"),
    ],
)
def test_mistakes_are_named(text: str, said: str) -> None:
    with pytest.raises(SettingsWrong, match=said):
        read_settings(text, "f")


def test_the_answer_to_a_hand_over_is_set_for_the_site() -> None:
    assert read_settings("", "f").hand_over is HandOver.REPORT
    assert read_settings('[acting]\nhand_over = "drain"\n', "f").hand_over is HandOver.DRAIN


def test_nothing_is_mended_that_nobody_named_or_knows_how_to_begin() -> None:
    text = '[process.a]\nprogram = "a"\n[process.b]\nunit = "b.service"\nrepair = false\n'
    assert ladders_of(read_settings(text, "f").processes, "/run/stopped") == ()
    assert ladders_of(read_settings("", "f").processes, "/run/stopped") == ()


def test_the_repair_of_libvirt_belongs_to_the_alarm_of_libvirt() -> None:
    [ladder] = ladders_of(read_settings("[process.libvirt]\n", "f").processes, "/run/stopped")
    assert (ladder.condition, ladder.subject) == ("libvirt-silent", "libvirt")
    assert sum(step.budget_ms for step in ladder.steps) <= ladder.total_ms
