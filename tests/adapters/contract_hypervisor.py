"""What every hypervisor does: the contract that the real one and the fake are tested by."""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from holdfast.adapters.drivers import qemu_proc
from holdfast.facts.subjects import Incarnation
from holdfast.ports.hypervisor import CallFailed, Domain, Hypervisor

BOOT = "boot-1"
UNKNOWN = "00000000-0000-4000-8000-00000000dead"
Value = TypeVar("Value")


class HypervisorContract:
    """`vm` is defined, shut off, and its on_crash is destroy; its guest has no agent."""

    vm: str
    vm_name: str

    def make(self) -> Hypervisor:
        raise NotImplementedError

    def kill(self, life: Incarnation) -> None:
        """Kill the VM's process from outside; return when libvirt saw it too."""
        raise NotImplementedError

    def play(self, story: Callable[[Hypervisor], Awaitable[Value]]) -> Value:
        async def run() -> Value:
            hypervisor = self.make()
            try:
                return await story(hypervisor)
            finally:
                await hypervisor.close()

        return asyncio.run(run())

    def test_a_defined_vm_is_listed_whole(self) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            listed = {domain.vm: domain for domain in await hypervisor.domains()}
            assert listed[self.vm] == await hypervisor.domain(self.vm)
            domain = listed[self.vm]
            assert (domain.name, domain.state) == (self.vm_name, "shut off")
            assert domain.is_persistent
            assert domain.on_crash == "destroy"

        self.play(story)

    def test_a_start_gives_the_life_and_a_second_one_the_same(self) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            life = await hypervisor.start(self.vm)
            assert (life.vm, life.boot) == (self.vm, BOOT)
            assert await hypervisor.start(self.vm) == life
            domain = await hypervisor.domain(self.vm)
            assert domain.state == "running"
            await hypervisor.end(life)
            again = await hypervisor.start(self.vm)
            assert again != life
            await hypervisor.end(again)

        self.play(story)

    def test_an_end_ends_one_life_and_no_other(self) -> None:
        async def story(hypervisor: Hypervisor) -> Domain:
            life = await hypervisor.start(self.vm)
            await hypervisor.end(life)
            await hypervisor.end(life)
            newer = await hypervisor.start(self.vm)
            await hypervisor.end(life)
            assert (await hypervisor.domain(self.vm)).state == "running"
            await hypervisor.end(newer)
            return await hypervisor.domain(self.vm)

        domain = self.play(story)
        assert domain.state == "shut off"

    def test_a_proof_needs_the_end(self) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            life = await hypervisor.start(self.vm)
            with pytest.raises(CallFailed, match=str(life.pid)):
                await hypervisor.prove_gone(life, self.vm_name)
            self.kill(life)
            proof = await hypervisor.prove_gone(life, self.vm_name)
            assert (proof.vm, proof.boot, proof.incarnation) == (self.vm, BOOT, life.key)
            assert "no process with its uuid" in proof.shown

        self.play(story)

    def test_a_newer_life_is_no_proof_of_the_older_ones_end(self) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            older = await hypervisor.start(self.vm)
            self.kill(older)
            newer = await hypervisor.start(self.vm)
            with pytest.raises(CallFailed, match=str(newer.pid)):
                await hypervisor.prove_gone(older, self.vm_name)
            await hypervisor.end(newer)

        self.play(story)

    def test_a_life_of_an_earlier_boot_is_proven_gone_in_this_one(self) -> None:
        """Its pid means nothing now: here it is that of a process that lives."""

        async def story(hypervisor: Hypervisor) -> None:
            ticks = qemu_proc.read_ticks(os.getpid()) or 0
            life = Incarnation(vm=self.vm, boot="boot-0", pid=os.getpid(), started_ticks=ticks)
            proof = await hypervisor.prove_gone(life, self.vm_name)
            assert (proof.vm, proof.boot, proof.incarnation) == (self.vm, BOOT, life.key)
            assert "the host was booted since it ran" in proof.shown
            assert "in this boot" not in proof.shown

        self.play(story)

    def test_what_runs_after_a_boot_refuses_the_proof_for_before(self) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            runs = await hypervisor.start(self.vm)
            before = Incarnation(vm=self.vm, boot="boot-0", pid=1, started_ticks=1)
            with pytest.raises(CallFailed, match=str(runs.pid)):
                await hypervisor.prove_gone(before, self.vm_name)
            await hypervisor.end(runs)

        self.play(story)

    def test_an_end_by_force_ends_it_too(self) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            life = await hypervisor.start(self.vm)
            await hypervisor.end(life, is_forced=True)
            assert (await hypervisor.domain(self.vm)).state == "shut off"

        self.play(story)

    def test_a_life_of_an_earlier_boot_ends_nothing(self) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            runs = await hypervisor.start(self.vm)
            await hypervisor.end(msgspec.structs.replace(runs, boot="boot-0"))
            assert (await hypervisor.domain(self.vm)).state == "running"
            await hypervisor.end(runs)

        self.play(story)

    def test_a_definition_can_be_taken_back_and_starts_nothing(self) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            told = await hypervisor.definition(self.vm)
            assert (told.vm, told.name) == (self.vm, self.vm_name)
            assert told.needs.vcpus == 1
            other = msgspec.structs.replace(
                told, xml=told.xml.replace("<on_crash>destroy<", "<on_crash>preserve<")
            )
            for _ in range(2):  # Once more changes nothing.
                await hypervisor.define(other)
                domain = await hypervisor.domain(self.vm)
                assert (domain.on_crash, domain.state) == ("preserve", "shut off")
            await hypervisor.define(told)
            assert await hypervisor.definition(self.vm) == told

        self.play(story)

    def test_a_vm_that_runs_is_redefined_and_runs_on(self) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            told = await hypervisor.definition(self.vm)
            life = await hypervisor.start(self.vm)
            during = await hypervisor.definition(self.vm)
            assert "<on_crash>destroy<" in during.xml
            await hypervisor.define(during)
            assert await hypervisor.start(self.vm) == life
            await hypervisor.end(life)
            await hypervisor.define(told)

        self.play(story)

    def test_what_is_no_definition_is_refused_for_good(self) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            told = await hypervisor.definition(self.vm)
            for call in (hypervisor.define, hypervisor.judge):
                with pytest.raises(CallFailed) as failure:
                    await call(msgspec.structs.replace(told, xml="<domain><name>half"))
                assert failure.value.is_final

        self.play(story)

    def test_what_a_host_lacks_is_said_before_anything_is_defined(self) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            told = await hypervisor.definition(self.vm)
            bridge = "<devices><interface type='bridge'><source bridge='br-none'/></interface>"
            other = msgspec.structs.replace(told, xml=told.xml.replace("<devices>", bridge))
            said = await hypervisor.judge(other)
            # Local storage comes before what else is missing.
            assert said
            assert said == told.needs.obstacle or "no bridge br-none" in said
            assert await hypervisor.definition(self.vm) == told, "nothing was changed"

        self.play(story)

    def test_a_host_has_a_size(self) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            size = await hypervisor.size()
            assert size.memory_mib > 0
            assert size.cpus > 0

        self.play(story)

    def test_a_vm_that_is_not_defined_is_refused_for_good(self) -> None:
        async def story(hypervisor: Hypervisor) -> list[bool]:
            finals = []
            calls = (
                hypervisor.domain,
                hypervisor.start,
                hypervisor.take_over,
                hypervisor.definition,
            )
            for call in calls:
                with pytest.raises(CallFailed) as failure:
                    await call(UNKNOWN)
                finals.append(failure.value.is_final)
            return finals

        assert self.play(story) == [True, True, True, True]

    def test_what_is_taken_over_can_be_given_back(self) -> None:
        async def story(hypervisor: Hypervisor) -> list[str]:
            taken = await hypervisor.take_over(self.vm)
            during = (await hypervisor.domain(self.vm)).on_crash
            await hypervisor.give_back(taken)
            return [taken.on_crash, during, (await hypervisor.domain(self.vm)).on_crash]

        assert self.play(story) == ["destroy", "preserve", "destroy"]

    def test_what_is_taken_over_while_it_runs_holds_at_once_and_later(self) -> None:
        async def story(hypervisor: Hypervisor) -> list[str]:
            life = await hypervisor.start(self.vm)
            taken = await hypervisor.take_over(self.vm)
            found = [(await hypervisor.domain(self.vm)).on_crash]
            await hypervisor.end(life)
            found.append((await hypervisor.domain(self.vm)).on_crash)
            await hypervisor.give_back(taken)
            return found

        assert self.play(story) == ["preserve", "preserve"]

    def test_a_guest_without_an_agent_does_not_answer(self) -> None:
        async def story(hypervisor: Hypervisor) -> bool:
            life = await hypervisor.start(self.vm)
            answers = await hypervisor.ping_agent(self.vm, 500)
            await hypervisor.end(life)
            return answers

        assert not self.play(story)

    def test_evidence_is_for_its_owner_only(self, tmp_path: Path) -> None:
        screen, memory = tmp_path / "screen", tmp_path / "memory"

        async def story(hypervisor: Hypervisor) -> str:
            life = await hypervisor.start(self.vm)
            kind = await hypervisor.screenshot(self.vm, str(screen), 20_000)
            await hypervisor.dump(self.vm, str(memory))
            await hypervisor.end(life)
            return kind

        assert self.play(story).startswith("image/")
        for file in (screen, memory):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert file.stat().st_size > 0

    def test_there_is_no_evidence_of_a_vm_that_does_not_run(self, tmp_path: Path) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            with pytest.raises(CallFailed):
                await hypervisor.screenshot(self.vm, str(tmp_path / "screen"))

        self.play(story)
