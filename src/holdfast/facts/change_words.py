"""A change that somebody asked for, in the words of who reads of it in the audit."""

from collections.abc import Callable, Mapping
from typing import Any

from holdfast.facts.instants import spoken

VM_NAME = "vm_name"  # Beside its uuid.
Args = Mapping[str, Any]


def said(what: str, args: Args) -> str:
    """What was asked for, with its arguments; of a change without words its bare name."""
    words = _WORDS.get(what)
    if words is not None:
        return words(args)
    rest = ", ".join(f"{name} {value}" for name, value in args.items())
    return f"{what} ({rest})" if rest else what


def _for(args: Args, key: str) -> str:
    seconds = args.get(key)
    if not isinstance(seconds, int | float):
        return ""
    days, hours = seconds / 86_400, seconds / 3_600
    if days >= 2:
        return f", for {days:.0f} days"
    return f", for {hours:g} h" if hours == int(hours) else f", for {spoken(seconds * 1_000)}"


def _why(args: Args) -> str:
    reason = args.get("reason") or args.get("old_host_is_gone")
    return f" ({reason})" if reason else ""


def _joining(args: Args) -> str:
    kind = "controller" if args.get("controller") else "host"
    return f"make a token for a {kind} to join{_for(args, 'for_s')}"


def _alarm(args: Args) -> str:
    condition = str(args.get("key", "")).rpartition(":")[2]
    return f"say that the alarm {condition} was seen"


def _protect(args: Args) -> str:
    group = f" in group {args['group']}" if args.get("group") else ""
    return f"protect {_vm(args)}{group}{_why(args)}"


def _group(args: Args) -> str:
    rest = ", ".join(f"{k} {v}" for k, v in args.items() if k != "name")
    return f"set group {args.get('name', '')}" + (f" ({rest})" if rest else "")


def _vm(args: Args) -> str:
    return str(args.get(VM_NAME) or args.get("vm") or "a VM")


def _certificate(args: Args) -> str:
    whose = args.get("host") or args.get("serial") or args.get("name") or ""
    return f"put {whose} out of the site{_why(args)}"


def _fence(args: Args) -> str:
    """Its secrets are left out by whoever wrote it down."""
    options = args.get("options")
    words = [f"{k} {v}" for k, v in options.items()] if isinstance(options, Mapping) else []
    rest = f" ({', '.join(words)})" if words else ""
    place = f" at place {args['level']}" if args.get("level") else ""
    return f"set the fence device {args.get('agent', '')} of {_host(args)}{place}{rest}"


def _clear_fence(args: Args) -> str:
    if args.get("level"):
        return f"take the fence device at place {args['level']} away from {_host(args)}"
    return f"take all fence devices away from {_host(args)}"


def _mode(args: Args) -> str:
    if args.get("mode") == "act":
        return f"let Holdfast act when {_host(args)} dies"
    return f"only report of {_host(args)} ({args.get('mode', '')})"


def _confirm_dead(args: Args) -> str:
    if args.get("confirmed"):
        return f"say that {_host(args)} is dead: {args.get('because') or 'no reason given'}"
    return f"look for signs of life of {_host(args)}"


def _migrate(args: Args) -> str:
    where = f"to {args['to']}" if args.get("to") else "to the host with the most room"
    return f"move {_vm(args)} {where} while it runs"


def _host(args: Args) -> str:
    return str(args.get("host") or "every host")


_WORDS: dict[str, Callable[[Args], str]] = {
    "protect": _protect,
    "unprotect": lambda a: f"protect {_vm(a)} no longer",
    "recover": lambda a: f"try again to recover {_vm(a)}",
    "group-set": _group,
    "group-forget": lambda a: f"forget group {a.get('name', '')}",
    "disarm": lambda a: f"switch recovery off{_for(a, 'seconds')}{_why(a)}",
    "arm": lambda _: "switch recovery on",
    "acknowledge": _alarm,
    "settle": lambda a: f"settle incident {a.get('incident', '')}",
    "api-token-create": lambda a: (
        f"make the API token {a.get('name', '')} with the role {a.get('role', '')}"
        f"{_for(a, 'seconds')}"
    ),
    "api-token-revoke": lambda a: f"revoke the API token {a.get('name', '')}",
    "join-new": _joining,
    "join-revoke": lambda a: f"revoke the joining token {a.get('id', '')}",
    "certificate-revoke": _certificate,
    "fence-set": _fence,
    "fence-clear": _clear_fence,
    "fence-rehearse": lambda a: f"rehearse the fence devices of {_host(a)}",
    "host-mode": _mode,
    "host-confirm-dead": _confirm_dead,
    "vm-migrate": _migrate,
    "vm-migrate-cancel": lambda a: f"call the move of {_vm(a)} off",
    "host-drain": lambda a: f"drain {_host(a)}: move its VMs away",
    "host-undrain": lambda a: f"drain {_host(a)} no longer",
    "host-predict": lambda a: f"expect {_host(a)} to fail: {a.get('reason')}",
    "host-unpredict": lambda a: f"expect {_host(a)} to fail no longer",
}


def known_changes() -> frozenset[str]:
    return frozenset(_WORDS)
