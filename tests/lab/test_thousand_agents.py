"""The drill that weighs a controller runs, with few agents."""

from dataclasses import replace

import pytest

from holdfast.lab.drills.scene import Choices
from holdfast.lab.drills.thousand_agents import ThousandAgents


@pytest.mark.lab
@pytest.mark.slow
def test_a_controller_with_its_agents_is_weighed() -> None:
    said: list[str] = []
    drill = replace(ThousandAgents(), agents=40, settle_s=3.0, measured_s=3.0)
    result = drill.run_alone(Choices(), said.append)
    assert result.false_alarms == 0, result.notes
    assert result.figures["pulses_in_a_second"] > 40 * 2 * 20 * 0.5
    controller, ear = result.figures["cpu_percent_of_controller_and_ear"]
    assert controller + ear > 0
    assert said[-1].endswith("pulses in a second")
