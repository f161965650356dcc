"""Why a VM died, in words: its exit status, and what the kernel's log says about it."""

from collections.abc import Sequence

from holdfast.adapters.sensors.kernel_log import KernelWord, Word
from holdfast.facts.exits import spoken_exit

# With which signals a death for that reason ends; a guest that is only stuck has no status.
_SIGKILL, _SIGBUS, _SIGSEGV = 9, 7, 11
_SIGNALS = {
    Word.OUT_OF_MEMORY: {_SIGKILL},
    Word.MACHINE_CHECK: {_SIGBUS, _SIGKILL},
    Word.SEGFAULT: {_SIGSEGV},
}


def cause_of(status: int | None, given: str, words: Sequence[KernelWord] | None) -> str:
    """`given` is what the detectors said; `status` as wait(2) gives it; `words` are None when the
    kernel's log could not be read."""
    known = words or ()
    fitting = sorted((w for w in known if _fits(w, status, given)), key=lambda w: w.is_likely)
    if fitting:
        word = fitting[0]
        return ("likely " if word.is_likely else "") + _in_words(word)
    if status is None:
        return given or "not known"
    said = given or spoken_exit(status)
    if status & 0x7F == _SIGKILL and words is not None:
        said += " (the kernel's log tells of no kill for want of memory)"
    return said


def _fits(word: KernelWord, status: int | None, given: str) -> bool:
    if status is not None:
        return status & 0x7F in _SIGNALS[word.line.word]
    return not (word.is_likely and given)  # What was seen goes before what is likely.


def _in_words(word: KernelWord) -> str:
    text = word.line.text
    match word.line.word:
        case Word.OUT_OF_MEMORY:
            of_cgroup = "CONSTRAINT_MEMCG" in text or text.startswith("Memory cgroup")
            full = "its memory cgroup was full" if of_cgroup else "the host had none left"
            return f"out of memory: the kernel killed it, {full}"
        case Word.MACHINE_CHECK:
            return f"a machine check: the hardware under it failed ({text})"
        case Word.SEGFAULT:
            return f"crashed (SIGSEGV): {text}"
