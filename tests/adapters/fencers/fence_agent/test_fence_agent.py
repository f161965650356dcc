"""Agents that misbehave in every way prove nothing, end in time, and are said in a sentence."""

import asyncio
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from holdfast.adapters.fencers.fence_agent import FOLDERS, FenceAgent
from holdfast.facts.fencing import FenceDevice
from holdfast.ports.fencer import FenceFailed
from tests.adapters.contract_fencer import FENCE, LATE_S, FencerContract, Tried, assert_sentence

pytestmark = pytest.mark.slow  # Seconds in all: `make test` runs them.

METADATA = """<?xml version="1.0" ?>
<resource-agent name="fence_fake" shortdesc="A host that is a file" >
<parameters>
  <parameter name="action" unique="0" required="1"/>
  <parameter name="ip" unique="0" required="1" obsoletes="ipaddr"/>
  <parameter name="ipaddr" unique="0" required="1" deprecated="1"/>
  <parameter name="port" unique="0" required="1"><content type="integer" default="623"/></parameter>
  <parameter name="password" unique="0" required="0" obsoletes="passwd"/>
  <parameter name="passwd" unique="0" required="0" deprecated="1"/>
  <parameter name="lanplus" unique="0" required="0"/>
  <parameter name="password_script" unique="0" required="0"/>
  <parameter name="ipmitool_path" unique="0" required="0"/>
</parameters>
<actions>
  <action name="on" automatic="0"/>
  <action name="off"/>
  <action name="reboot"/>
  <action name="status"/>
  <action name="metadata"/>
  <action name="validate-all"/>
</actions>
</resource-agent>
"""
SECRET = 'it\'s 100% "se&cret"'


class Fake(Tried):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        text = Path(__file__).with_name("bad_agent.py").read_text()
        agent = tmp_path / "fence_fake"
        agent.write_text(f"#!{sys.executable} -sS\n{text}")
        agent.chmod(0o755)
        (tmp_path / "metadata").write_text(METADATA)
        self.fencer = FenceAgent(folders=[self.folder])
        self.fail("")
        self.give_power(True)

    def make(self) -> FenceAgent:
        return self.fencer

    def device(
        self, deadline_s: int = 20, secrets: Mapping[str, str] | None = None, **options: str
    ) -> FenceDevice:
        return FenceDevice(
            agent="fence_fake",
            options=options or {"ip": "10.0.0.4"},
            secrets=dict(secrets or {}),
            deadline_s=deadline_s,
        )

    def with_options(self, options: dict[str, str]) -> FenceDevice:
        return msgspec.structs.replace(self.device(), options=options)

    def has_power(self) -> bool:
        return (self.folder / "power").read_text() == "on"

    def give_power(self, power: bool) -> None:
        (self.folder / "power").write_text("on" if power else "off")

    def fail(self, how: str) -> None:
        (self.folder / "how").write_text(how)

    def describe(self, before: str, after: str) -> None:
        assert before in METADATA
        (self.folder / "metadata").write_text(METADATA.replace(before, after))

    @property
    def given(self) -> list[str]:
        path = self.folder / "given"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def actions(self) -> list[str]:
        return [line.removeprefix("action=") for line in self.given if line.startswith("action=")]

    def why_not(self, device: FenceDevice | None = None) -> str:
        """Why the host could not be switched off, in time or out of it."""
        wanted = device or self.device()
        began = time.monotonic()
        text = str(self.refused(lambda: self.switch_off(wanted)))
        assert time.monotonic() - began < wanted.deadline_s + LATE_S
        assert_sentence(text)
        return text


class TestFenceAgent(Fake, FencerContract):
    def test_the_power_is_read_back_in_a_run_of_its_own(self) -> None:
        proof = self.switch_off()
        assert self.actions == ["off", "status"]
        assert proof.shown[0] == "fence_fake switched the power of h4 off"
        assert proof.shown[1] == "asked anew, fence_fake read the power of h4 back: off"
        assert "the order took " in proof.shown[2]
        assert proof.took_ms > 0

    def test_a_host_that_was_off_is_said_to_have_been(self) -> None:
        self.give_power(False)
        assert self.switch_off().shown[0] == "fence_fake found the power of h4 off already"

    def test_what_it_is_told_comes_by_its_input_only(self) -> None:
        self.switch_off(self.device(ip="10.0.0.4", secrets={"password": SECRET}))
        assert self.given[:3] == ["action=off", "ip=10.0.0.4", f"password={SECRET}"]
        assert set((self.folder / "asked").read_text().splitlines()) == {"-o metadata", ""}
        environment = (self.folder / "environment").read_text()
        assert SECRET not in environment
        assert "PYTEST" not in environment

    @pytest.mark.parametrize("value", [' blank" ', '"quoted"'])
    def test_what_an_agent_would_take_off_a_value_is_kept(self, value: str) -> None:
        self.power(self.device(ip="a", secrets={"password": value}))
        assert self.given[-1] == f'password="{value}"'

    @pytest.mark.slow
    def test_a_power_that_is_off_a_little_later_is_waited_for(self) -> None:
        self.fail("slow")
        assert self.switch_off().boot == "boot-3"
        assert self.actions.count("status") > 1
        assert self.actions.count("off") == 1

    def test_a_host_that_is_off_although_the_agent_doubts_it_is_off(self) -> None:
        self.fail("unsure")
        shown = self.switch_off().shown
        assert shown[0] == "fence_fake was told to switch h4 off, and said that it failed"

    def test_an_order_that_failed_is_said_at_once_in_its_own_words(self) -> None:
        self.fail("refused")
        began = time.monotonic()
        assert self.why_not(self.device(30)) == (
            "fence_fake could not switch h4 off: Unable to connect/login to fencing device"
            " (code 1). Check its user and its secret."
        )
        assert time.monotonic() - began < 5

    def test_any_other_way_to_end_says_what_to_check(self) -> None:
        self.fail("away")
        text = str(self.refused(self.power))
        assert text.startswith(
            "fence_fake does not say whether the host has power: Connection timed out (code 1)."
        )
        assert text.endswith(
            "Check that its address is right and reached from this controller, and its user and"
            " secret."
        )


@pytest.mark.slow
class TestBadAgents(Fake):
    @pytest.mark.parametrize(
        ("how", "said"),
        [
            ("stuck", "says that h4 has power"),
            ("code only", "it said nothing (code 2)"),
            ("words only", "Status: OFF (code 0)"),
            ("two words", "Status: OFF; Status: ON (code 2)"),
            ("half", "Status: OF (code 2)"),
            ("garbage", "(code 2)"),
            ("dies", "it said nothing (signal 11). See on this controller's host what ended it"),
            ("killed", "it was ended by something on this controller's host after "),
            ("in order", "it was ended by us after"),
            ("hung", "it was ended by us after"),
            ("flood", "could not switch h4 off"),
        ],
    )
    def test_nothing_is_proved_by(self, how: str, said: str) -> None:
        self.fail(how)
        text = self.why_not(self.device(3))
        assert said in text
        assert len(text) < 600

    def test_what_it_began_is_gone_when_it_hangs(self) -> None:
        self.fail("hung")
        text = self.why_not(self.device(3))
        assert self.all_gone()
        assert "Deprecat" not in text, "what Python warns an agent's authors of is no answer"

    def test_a_child_that_holds_its_output_holds_up_nobody(self) -> None:
        self.fail("holds")
        began = time.monotonic()
        self.switch_off(self.device(30))
        assert time.monotonic() - began < 5
        assert self.all_gone()

    def test_who_loses_patience_leaves_nothing_behind(self) -> None:
        self.fail("hung")

        async def give_up() -> None:
            fencing = asyncio.create_task(self.make().switch_off(FENCE, self.device(60)))
            await asyncio.to_thread(self.wait_pids)
            fencing.cancel()
            await asyncio.gather(fencing, return_exceptions=True)

        asyncio.run(asyncio.wait_for(give_up(), 20))
        assert self.all_gone()

    def wait_pids(self) -> None:
        deadline = time.monotonic() + 10
        while not (self.folder / "pids").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def all_gone(self) -> bool:
        pids = [int(pid) for pid in (self.folder / "pids").read_text().split()]
        deadline = time.monotonic() + 3
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return bool(pids)


class TestSecrets(Fake):
    def test_a_secret_that_the_agent_echoes_is_masked(self) -> None:
        self.fail("echo")
        text = str(self.refused(lambda: self.power(self.secret_device())))
        assert "ipmitool -P *** or *** failed for 10.0.0.4" in text
        assert "se&cret" not in text

    def test_a_secret_among_the_options_is_refused_without_being_said(self) -> None:
        for name in ("password", "passwd"):
            text = self.why_not(self.with_options({"ip": "x", name: SECRET}))
            assert text == f"{name} would be shown to everybody: give it as a secret instead."
        assert self.given == []

    def secret_device(self) -> FenceDevice:
        return self.device(ip="10.0.0.4", secrets={"password": SECRET})


class TestRefused(Fake):
    """What can never work is said before an agent is asked anything."""

    def test_a_value_of_more_than_one_line(self) -> None:
        for value in ("a\naction=on", "a\raction=on", "a\u2028b", "a\0b", "a\x1bb"):
            option = self.with_options({"ip": value})
            secret = self.device(lanplus="1", secrets={"ip": value})
            for device in (option, secret):
                assert "a line break or another control character" in self.why_not(device), value
        assert self.given == []

    def test_an_option_that_it_does_not_have(self) -> None:
        for name in ("action", "option", "ipp", "ip\naction=on\nip", "", "version"):
            assert "has no option" in self.why_not(self.with_options({"ip": "x", name: "on"})), name
        assert self.given == []

    def test_an_option_that_would_run_a_program(self) -> None:
        for name in ("password_script", "ipmitool_path"):
            text = self.why_not(self.with_options({"ip": "x", name: "/bin/sh"}))
            assert text.startswith(f"{name} lets whoever sets a fence device run a program"), name
        assert self.given == []

    def test_an_option_given_twice(self) -> None:
        device = self.device(ip="x", secrets={"ip": "y"})
        assert "ip is given twice" in self.why_not(device)

    @pytest.mark.parametrize(
        "agent",
        ["../fence_fake", "fence_fake;id", "FENCE_FAKE", "fence_", "sh", "", "fence_fake\n"],
    )
    def test_what_is_no_name_of_an_agent(self, agent: str) -> None:
        device = msgspec.structs.replace(self.device(), agent=agent)
        assert "is no name of a fence agent" in self.why_not(device)
        assert not (self.folder / "asked").exists()

    def test_an_agent_that_is_not_installed(self) -> None:
        text = self.why_not(msgspec.structs.replace(self.device(), agent="fence_fack"))
        assert "fence_fack is not installed here; did you mean fence_fake?" in text
        assert "scripts/install controller" in text

    def test_a_missing_option(self) -> None:
        text = str(self.refused(lambda: self.check(self.device(lanplus="1"))))
        assert text == "fence_fake needs ip, and that is not given; give it."
        self.check(self.device(ipaddr="10.0.0.4"))  # Its older name serves as well.

    def test_what_the_agent_itself_takes_for_wrong(self) -> None:
        self.fail("particular")
        text = str(self.refused(self.check))
        assert text == (
            "fence_fake takes these options for wrong: this is no valid choice (code 1)."
            " Correct them."
        )
        assert self.actions == ["validate-all"]

    @pytest.mark.parametrize("action", ["off", "status"])
    def test_an_agent_that_cannot_switch_off_or_read_back(self, action: str) -> None:
        self.describe(f'<action name="{action}"/>', "")
        assert f"knows no action `{action}`" in str(self.refused(self.check))
        assert f"knows no action `{action}`" in self.why_not()

    @pytest.mark.parametrize("sign", ['automatic="1"', 'on_target="1" automatic="0"'])
    def test_an_agent_that_cuts_off_storage_or_network(self, sign: str) -> None:
        self.describe('automatic="0"', sign)
        assert "leaves it running" in self.why_not()
        assert self.given == []

    @pytest.mark.parametrize("text", ["", "not <xml", "<html><p/></html>", "<resource-agent/>"])
    def test_what_does_not_describe_itself(self, text: str) -> None:
        (self.folder / "metadata").write_text(text)
        assert "is no fence agent" in self.why_not()

    def test_a_deadline_of_nothing(self) -> None:
        text = str(self.refused(lambda: self.power(self.device(0))))
        assert_sentence(text)
        assert self.given == []

    @pytest.mark.parametrize("agent", ["fence_dummy", "fence_crosslink", "fence_sbd"])
    def test_an_agent_that_proves_nothing(self, agent: str) -> None:
        device = FenceDevice(agent=agent)
        assert "so it proves nothing" in str(self.refused(lambda: self.check(device)))


is_installed = any((folder / "fence_dummy").exists() for folder in FOLDERS)


@pytest.mark.skipif(not is_installed, reason="the fence agents are not installed")
@pytest.mark.slow
class TestRealAgents(FencerContract):
    """The distribution's fence_dummy: ClusterLabs' own library, and a file for a host."""

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.file, self.how = tmp_path / "status", ""

    def make(self) -> FenceAgent:
        return FenceAgent(useless={})

    def device(self, deadline_s: int = 20) -> FenceDevice:
        options = {"status_file": str(self.file)}
        if self.how == "away":
            options = {"type": "fail", "power_timeout": "1"}
        return FenceDevice(agent="fence_dummy", options=options, deadline_s=deadline_s)

    def has_power(self) -> bool:
        return self.file.read_text() == "on"

    def give_power(self, power: bool) -> None:
        self.file.write_text("on" if power else "off")

    def fail(self, how: str) -> None:
        self.how = how
        if how == "stuck":
            pytest.skip("it knows no host that stays on")
        if how == "hung":
            pytest.skip("it does not hang")

    def test_a_device_that_does_not_answer_proves_nothing(self) -> None:
        """It fails at orders only: its power is always told."""
        self.give_power(True)
        self.fail("away")
        assert_sentence(str(self.refused(self.switch_off)))

    def test_all_that_are_installed_are_understood(self) -> None:
        """Every agent either may be used or is refused with a reason."""
        asyncio.run(self.look_at_all())

    async def look_at_all(self) -> None:
        refused = {"fence_scsi", "fence_mpath", "fence_kdump", "fence_rcd_serial", "fence_brocade"}
        fencer, allowed = (
            self.make(),
            {"fence_ipmilan", "fence_redfish", "fence_apc", "fence_virsh"},
        )
        for agent in sorted(refused):
            error = await self.why(fencer, FenceDevice(agent=agent))
            assert "proves nothing" in error or "knows no action" in error, error
        for agent in sorted(allowed):
            error = await self.why(fencer, FenceDevice(agent=agent))
            assert "not given" in error or "takes these options for wrong" in error, error
        device = FenceDevice(agent="fence_ipmilan", options={"ip": "10.77.0.99", "lanplus": "1"})
        await fencer.check(device)

    async def why(self, fencer: FenceAgent, device: FenceDevice) -> str:
        try:
            await fencer.check(device)
        except FenceFailed as error:
            return str(error)
        return ""
