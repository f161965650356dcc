"""Why a VM died, in words: how it ended, and what the kernel's log says about that."""

from collections.abc import Sequence

from holdfast.adapters.sensors.kernel_log import KernelWord, Word

# How a death for that reason reads in the detectors' words. A guest that is only stuck, or that
# was found gone, has no such words.
_ENDS = {
    Word.OUT_OF_MEMORY: ("SIGKILL",),
    Word.MACHINE_CHECK: ("SIGBUS", "SIGKILL"),
    Word.SEGFAULT: ("SIGSEGV",),
}
_ANY_END = ("SIG", "exit code", "signal ")


def cause_of(given: str, words: Sequence[KernelWord] | None) -> str:
    """`given` is what the detectors said; `words` are None when the kernel's log was not read."""
    fitting = sorted((w for w in words or () if _fits(w, given)), key=lambda w: w.is_likely)
    if fitting:
        word = fitting[0]
        return ("likely " if word.is_likely else "") + _in_words(word)
    if "SIGKILL" in given and words is not None:
        return f"{given} (the kernel's log tells of no kill for want of memory)"
    return given or "not known"


def _fits(word: KernelWord, given: str) -> bool:
    """How it ended must fit; what was seen otherwise goes before what is only likely."""
    if any(end in given for end in _ANY_END):
        return any(end in given for end in _ENDS[word.line.word])
    return not (word.is_likely and given)


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
