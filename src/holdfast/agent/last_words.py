"""Keep what a dying VM leaves behind, within a budget; what cannot be had is named, with why."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Struct, field, structs

from holdfast.adapters.sensors.kernel_log import KernelLog, KernelWord
from holdfast.agent.causes import cause_of
from holdfast.agent.recorder import Recorder
from holdfast.agent.screens import png_of_ppm
from holdfast.agent.tails import last_text
from holdfast.facts.actions import CaptureLastWords
from holdfast.facts.incidents import Incident
from holdfast.facts.instants import NS_PER_MS, NS_PER_S, Instant, elapsed_ms, spoken
from holdfast.facts.last_words import Bundle, Noted, Sample
from holdfast.facts.observations import Observation
from holdfast.facts.outcomes import LastWordsCaptured, LastWordsFailed
from holdfast.policy.timing import DUMP_LIMIT_MS, LAST_WORDS_BUDGET_MS
from holdfast.ports.archive import Archive
from holdfast.ports.hypervisor import CallFailed, Domain

log = logging.getLogger(__name__)

RECORDED_NS = 120 * NS_PER_S
CONSOLE_BYTES = 256 << 10
CONSOLE_SHOWN = 4_096
QEMU_LOG_BYTES = 64 << 10
NOTES_SHOWN = 100
QEMU_LOGS = Path("/var/log/libvirt/qemu")  # Of qemu:///system.
GATHER_SHARE = 0.75  # Of the budget; the rest is for writing it down.
BEFORE_LIFE_NS = 60 * NS_PER_S  # The kernel's stamps may be off by that much.
DUMP = "memory.dump"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_BEGINNING = ": starting up libvirt version"  # libvirt's line at the begin of each life.


class _Known(Struct, frozen=True, kw_only=True):
    """What is known already when last words are asked for."""

    title: str
    fault_at: Instant
    cause: str
    console_log: str
    qemu_log: Path


class _Gathered(Struct, kw_only=True):
    """What has been had so far. Items fill in their own parts."""

    files: dict[str, bytes] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    notes: tuple[Noted, ...] = ()
    console: str = ""
    words: tuple[KernelWord, ...] | None = None


class Witness(Protocol):
    """The part of ports.hypervisor.Hypervisor that can tell something of a VM that died."""

    async def domain(self, vm: str, limit_ms: int = ...) -> Domain: ...

    async def screenshot(self, vm: str, path: str, limit_ms: int = ...) -> str: ...

    async def dump(self, vm: str, path: str, limit_ms: int = ...) -> None: ...


class Unavailable(Exception):
    """One item cannot be had; the text says why."""


class LastWords:
    """`domain` and `incident` look up what libvirt last said of a VM, and what policy knows.

    A memory dump is outside of the budget: the bundle is whole without it before it begins.
    """

    def __init__(
        self,
        *,
        archive: Archive,
        recorder: Recorder,
        hypervisor: Witness,
        domain: Callable[[str], Domain | None],
        incident: Callable[[str], Incident | None],
        host_name: str,
        boot: str,
        kernel_log: KernelLog | None = None,
        qemu_logs: Path = QEMU_LOGS,
        observations: Callable[[], Iterable[Observation]] = tuple,
    ) -> None:
        self._archive = archive
        self._recorder = recorder
        self._hypervisor = hypervisor
        self._domain = domain
        self._incident = incident
        self._host_name = host_name
        self._boot = boot
        self._kernel_log = kernel_log or KernelLog()
        self._qemu_logs = qemu_logs
        self._observations = observations

    async def capture(self, asked: CaptureLastWords) -> LastWordsCaptured | LastWordsFailed:
        """Never raises."""
        try:
            return await self._capture(asked)
        except Exception as error:
            reason = "the disk did not answer" if isinstance(error, TimeoutError) else str(error)
            is_defect = not isinstance(error, OSError | TimeoutError)
            log.error(
                "the last words of %s are not kept: %s", asked.name, reason, exc_info=is_defect
            )
            return LastWordsFailed(incident=asked.incident, at=_now(), reason=reason)

    async def _capture(self, asked: CaptureLastWords) -> LastWordsCaptured:
        began = _now()
        limit_ms = asked.budget_ms or LAST_WORDS_BUDGET_MS
        known = self._known(asked)
        async with asyncio.timeout(limit_ms / 1_000):
            folder = await asyncio.to_thread(
                self._archive.open_bundle, asked.life.vm, asked.incident
            )
        left_ms = limit_ms - elapsed_ms(began, _now())
        had = await self._gather(asked, known, folder, left_ms * GATHER_SHARE)
        if asked.dump:
            had.missing[DUMP] = "it was still being taken when this was written"
        left_ms = max(limit_ms - elapsed_ms(began, _now()), limit_ms * (1 - GATHER_SHARE))
        async with asyncio.timeout(left_ms / 1_000):
            await asyncio.to_thread(_write_files, folder, had)
            bundle = self._bundle(asked, known, had, began)
            name = await asyncio.to_thread(self._archive.close_bundle, folder, bundle)
        if asked.dump:
            bundle = await self._take_dump(asked, folder, bundle)
            await asyncio.to_thread(self._archive.close_bundle, folder, bundle)
        missing = tuple(f"{what}: {why}" for what, why in sorted(bundle.missing.items()))
        return LastWordsCaptured(
            incident=asked.incident, at=_now(), bundle=name, cause=bundle.cause, missing=missing
        )

    def _known(self, asked: CaptureLastWords) -> _Known:
        incident = self._incident(asked.incident)
        domain = self._domain(asked.life.vm)
        return _Known(
            title=asked.title or (incident.title if incident else asked.name),
            fault_at=asked.fault_at or (incident.fault_at if incident else _now()),
            cause=asked.cause or (incident.cause if incident else ""),
            console_log=domain.console_log if domain else "",
            qemu_log=self._qemu_logs / f"{asked.name}.log",
        )

    async def _gather(
        self, asked: CaptureLastWords, known: _Known, folder: Path, limit_ms: float
    ) -> _Gathered:
        """All items at once; what is not there in time is left behind."""
        had = _Gathered()
        items: dict[str, Coroutine[Any, Any, None]] = {
            "recorder": self._recorded(asked, known, had),
            "observations": self._observed(asked, known, had),
            "console": self._console(known, had),
            "QEMU's log": self._qemu_log(known, had),
            "kernel's log": self._kernel_words(asked, known, had),
            "libvirt's state": self._state(asked, had, int(limit_ms)),
        }
        if asked.screenshot:
            items["screenshot"] = self._screenshot(asked, folder, had, int(limit_ms))
        tasks = {
            asyncio.ensure_future(_named(what, item, had)): what for what, item in items.items()
        }
        try:
            _, late = await asyncio.wait(tasks, timeout=limit_ms / 1_000)
        finally:
            for task in tasks:
                task.cancel()
        for task in late:
            had.missing[tasks[task]] = f"it could not be had within {spoken(limit_ms)}"
        return had

    async def _recorded(self, asked: CaptureLastWords, known: _Known, had: _Gathered) -> None:
        kept = self._recorder.since(asked.life.vm, Instant(known.fault_at - RECORDED_NS))
        if not kept:
            raise Unavailable("nothing was recorded of it")
        had.samples = tuple(item for item in kept if isinstance(item, Sample))
        notes = [item for item in kept if isinstance(item, Noted)]
        had.notes = tuple(item for item in notes if item.kind != "console")[-NOTES_SHOWN:]
        if not had.console:
            had.console = "".join(item.text for item in notes if item.kind == "console")
        had.files["recorder.jsonl"] = b"".join(msgspec.json.encode(item) + b"\n" for item in kept)

    async def _observed(self, asked: CaptureLastWords, known: _Known, had: _Gathered) -> None:
        """What the sensors told of it: what the detectors judged by."""
        since = known.fault_at - RECORDED_NS
        seen = [o for o in self._observations() if o.at >= since and vm_of(o) == asked.life.vm]
        if seen:
            lines = [msgspec.json.encode(o) + b"\n" for o in seen]
            had.files["observations.jsonl"] = b"".join(lines)

    async def _console(self, known: _Known, had: _Gathered) -> None:
        if not known.console_log:
            raise Unavailable("the VM has no console log (a <log file=.../> of its serial console)")
        text = await asyncio.to_thread(last_text, Path(known.console_log), CONSOLE_BYTES)
        had.console = text or had.console
        had.files["console.txt"] = text.encode()

    async def _qemu_log(self, known: _Known, had: _Gathered) -> None:
        text = await asyncio.to_thread(last_text, known.qemu_log, QEMU_LOG_BYTES)
        had.files["qemu.log"] = of_this_life(text).encode()

    async def _kernel_words(self, asked: CaptureLastWords, known: _Known, had: _Gathered) -> None:
        began = Instant(began_at(asked.life.started_ticks) - BEFORE_LIFE_NS)
        words = await asyncio.to_thread(
            self._kernel_log.words_about, asked.life, began, known.fault_at
        )
        had.words = tuple(words)
        if words:
            lines = [("likely: " if w.is_likely else "") + w.line.text + "\n" for w in words]
            had.files["kernel.log"] = "".join(lines).encode()

    async def _state(self, asked: CaptureLastWords, had: _Gathered, limit_ms: int) -> None:
        domain = await self._hypervisor.domain(asked.life.vm, limit_ms)
        had.files["libvirt.json"] = msgspec.json.format(msgspec.json.encode(domain))

    async def _screenshot(
        self, asked: CaptureLastWords, folder: Path, had: _Gathered, limit_ms: int
    ) -> None:
        path = folder / "screen"
        try:
            kind = await self._hypervisor.screenshot(asked.life.vm, str(path), limit_ms)
            raw = await asyncio.to_thread(path.read_bytes)
        finally:
            path.unlink(missing_ok=True)
        if kind == "image/png":
            had.files["screen.png"] = raw
            return
        try:
            had.files["screen.png"] = await asyncio.to_thread(png_of_ppm, raw)
        except ValueError:
            had.files[f"screen.{kind.rpartition('/')[2].removeprefix('x-') or 'raw'}"] = raw

    async def _take_dump(self, asked: CaptureLastWords, folder: Path, bundle: Bundle) -> Bundle:
        """QEMU lives on meanwhile; recovery waits for it, up to the dump's own limit."""
        vm = asked.life.vm
        path = folder / DUMP
        self._recorder.note(vm, "recorder", "a memory dump begins")
        log.warning("%s: a memory dump begins; recovery waits for it", asked.name)
        missing = dict(bundle.missing)
        try:
            await self._hypervisor.dump(vm, str(path), DUMP_LIMIT_MS)
            del missing[DUMP]
        except (CallFailed, OSError) as error:
            path.unlink(missing_ok=True)
            missing[DUMP] = str(error)
        ended = "is done" if DUMP not in missing else f"failed: {missing[DUMP]}"
        self._recorder.note(vm, "recorder", f"the memory dump {ended}")
        return structs.replace(bundle, missing=missing)

    def _bundle(
        self, asked: CaptureLastWords, known: _Known, had: _Gathered, began: Instant
    ) -> Bundle:
        utc_ms = time.time_ns() // NS_PER_MS
        now = _now()
        shown = had.console[-CONSOLE_SHOWN:]
        console = Noted(at=now, utc_ms=utc_ms, kind="console", text=shown)
        return Bundle(
            incident=asked.incident,
            vm=asked.life.vm,
            name=asked.name,
            host=self._host_name,
            boot=self._boot,
            title=known.title,
            cause=cause_of(known.cause, had.words),
            captured_utc_ms=utc_ms,
            took_ms=elapsed_ms(began, now),
            fault_utc_ms=utc_ms - (now - known.fault_at) // NS_PER_MS,
            files={},
            missing=had.missing,
            samples=had.samples,
            notes=(*had.notes, console) if shown else had.notes,
        )


async def _named(what: str, item: Awaitable[None], had: _Gathered) -> None:
    """An item that cannot be had is named, and costs nothing else."""
    try:
        await item
    except (Unavailable, CallFailed, ValueError) as error:
        had.missing[what] = str(error)
    except OSError as error:
        had.missing[what] = error.strerror or str(error)


def _write_files(folder: Path, had: _Gathered) -> None:
    """The small ones first, so that a disk that fills up keeps as many as it can."""
    for name, raw in sorted(had.files.items(), key=lambda pair: len(pair[1])):
        path = folder / name
        try:
            path.touch(mode=0o600)
            path.write_bytes(raw)
        except OSError as error:
            path.unlink(missing_ok=True)
            had.missing[name] = f"it could not be written: {error.strerror}"


def vm_of(seen: Observation) -> str:
    """The VM that an observation is about, or empty."""
    life = getattr(seen, "incarnation", None)
    return str(life.vm if life is not None else getattr(seen, "vm", ""))


def of_this_life(text: str) -> str:
    """The part of QEMU's log since libvirt last started the VM."""
    began = text.rfind(_BEGINNING)
    return text if began < 0 else text[text.rfind("\n", 0, began) + 1 :]


def began_at(started_ticks: int) -> Instant:
    """When a process began, from field 22 of its /proc/PID/stat. Time asleep is not counted."""
    asleep_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    return Instant(started_ticks * NS_PER_S // _TICKS_PER_S - asleep_ns)


def _now() -> Instant:
    return Instant(time.monotonic_ns())
