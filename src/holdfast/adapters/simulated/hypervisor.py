"""A hypervisor in memory: its VMs start, refuse, hang and die when a test says so."""

import itertools
from pathlib import Path

import msgspec

from holdfast.facts.subjects import Incarnation
from holdfast.facts.tenure import LocalProof
from holdfast.ports.hypervisor import CallFailed, CallOverran, Domain, TakenOver

FIRST_PID = 1_000


class HypervisorInMemory:
    """Set `hangs` to have calls about a VM overrun, `refuses` to have its starts fail."""

    def __init__(self, boot: str = "boot") -> None:
        self.boot = boot
        self.hangs: set[str] = set()
        self.refuses: dict[str, CallFailed] = {}
        self.leftovers: dict[str, str] = {}  # What is still there of a VM that ended.
        self.answering: set[str] = set()  # VMs whose guest agent answers.
        self.calls: list[tuple[str, str]] = []
        self._domains: dict[str, Domain] = {}
        self._lives: dict[str, Incarnation] = {}
        self._pids = itertools.count(FIRST_PID)

    def define(self, domain: Domain) -> None:
        self._domains[domain.vm] = domain

    def undefine(self, vm: str) -> None:
        del self._domains[vm]

    def kill(self, vm: str, reason: str = "crashed") -> None:
        """The VM's process dies, whoever did it."""
        self._lives.pop(vm, None)
        self.answering.discard(vm)
        self._change(vm, state="shut off", reason=reason)

    def life(self, vm: str) -> Incarnation | None:
        return self._lives.get(vm)

    async def domains(self, limit_ms: int = 5_000) -> list[Domain]:  # noqa: ARG002
        return list(self._domains.values())

    async def domain(self, vm: str, limit_ms: int = 2_000) -> Domain:
        return self._called("domain", vm, limit_ms)

    async def start(self, vm: str, limit_ms: int = 60_000) -> Incarnation:
        self._called("start", vm, limit_ms)
        if vm in self._lives:
            return self._lives[vm]
        if vm in self.refuses:
            raise self.refuses[vm]
        pid = next(self._pids)
        life = Incarnation(vm=vm, boot=self.boot, pid=pid, started_ticks=pid)
        self._lives[vm] = life
        self._change(vm, state="running", reason="booted")
        return life

    async def end(self, life: Incarnation, limit_ms: int = 30_000) -> None:
        if self._lives.get(life.vm) == life:
            self._called("end", life.vm, limit_ms)
            self.kill(life.vm, "shutdown")

    async def prove_gone(self, life: Incarnation, name: str, limit_ms: int = 2_000) -> LocalProof:
        self.calls.append(("prove_gone", life.vm))
        if life.vm in self.hangs:
            raise CallOverran(f"nobody answered in {limit_ms} ms")
        runs = self._lives.get(life.vm)
        left = f"process {runs.pid} runs it" if runs else self.leftovers.get(life.vm, "")
        if left:
            raise CallFailed(f"{name}: {left}")
        is_of_this_boot = life.boot == self.boot
        when = "in this boot" if is_of_this_boot else "the host was booted since it ran"
        shown = ("no process with its uuid", when)
        return LocalProof(vm=life.vm, boot=self.boot, incarnation=life.key, shown=shown, at=0)

    async def screenshot(self, vm: str, path: str, limit_ms: int = 2_000) -> str:
        self._running("screenshot", vm, limit_ms)
        _write(path, b"\x89PNG\r\n\x1a\n")
        return "image/png"

    async def dump(self, vm: str, path: str, limit_ms: int = 60_000) -> None:
        self._running("dump", vm, limit_ms)
        _write(path, b"\x7fELF")

    async def ping_agent(self, vm: str, limit_ms: int = 1_000) -> bool:
        self._called("ping_agent", vm, limit_ms)
        return vm in self.answering

    async def addresses(self, vm: str, limit_ms: int = 2_000) -> list[str]:
        self._called("addresses", vm, limit_ms)
        return []

    async def take_over(self, vm: str, limit_ms: int = 5_000) -> TakenOver:
        was = self._called("take_over", vm, limit_ms)
        self._change(vm, on_crash="preserve")
        return TakenOver(vm=vm, autostart=was.autostart, on_crash=was.on_crash)

    async def give_back(self, taken: TakenOver, limit_ms: int = 5_000) -> None:
        self._called("give_back", taken.vm, limit_ms)
        self._change(taken.vm, on_crash=taken.on_crash)

    async def close(self) -> None:
        return

    def _called(self, call: str, vm: str, limit_ms: int) -> Domain:
        self.calls.append((call, vm))
        if vm in self.hangs:
            raise CallOverran(f"libvirt did not answer {call} in {limit_ms} ms")
        if vm not in self._domains:
            raise CallFailed(f"there is no domain with uuid {vm}", is_final=True)
        return self._domains[vm]

    def _running(self, call: str, vm: str, limit_ms: int) -> None:
        self._called(call, vm, limit_ms)
        if vm not in self._lives:
            raise CallFailed("domain is not running")

    def _change(self, vm: str, **what: str) -> None:
        if vm in self._domains:
            self._domains[vm] = msgspec.structs.replace(self._domains[vm], **what)


def _write(path: str, content: bytes) -> None:
    file = Path(path)
    file.touch(mode=0o600)
    file.write_bytes(content)
