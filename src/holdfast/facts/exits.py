"""An exit status in words: which signal killed a process, or which code it left with."""

_SIGNALS = (
    "SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 "
    "SIGPIPE SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG "
    "SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS"
).split()
_CRASHES = {"SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGSYS"}
_CORE_FLAG = 0x80


def signal_name(number: int) -> str:
    """By Linux's numbers on x86, Arm, POWER and RISC-V."""
    return _SIGNALS[number - 1] if 0 < number <= len(_SIGNALS) else f"signal {number}"


def spoken_exit(status: int) -> str:
    """Say a status of wait(2): killed by SIGKILL, crashed (SIGSEGV), exit code 1."""
    number = status & 0x7F
    if number == 0:
        return f"exit code {status >> 8 & 0xFF}"
    name = signal_name(number)
    core = ", its core was written" if status & _CORE_FLAG else ""
    return f"crashed ({name}){core}" if name in _CRASHES else f"killed by {name}{core}"
