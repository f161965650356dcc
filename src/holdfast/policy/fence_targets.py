"""Whether two fence devices switch the same thing: then a fence of one host would hit another."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from holdfast.facts.fencing import FenceDevice, HostFencing

# Agents that are one program under several names, or speak to the same BMC in the same words.
# Source: the symlinks that fence-agents installs for fence_ipmilan.
IPMI = frozenset(
    "fence_ipmilan fence_ipmilanplus fence_idrac fence_imm fence_ilo3 fence_ilo4 fence_ilo5".split()
)
# Names that agents had earlier for the same option.
ALIASES = {"ipaddr": "ip", "port": "plug", "login": "username", "udpport": "ipport"}
# Whoever differs in these alone is the same device, asked in another way.
HOW = frozenset(
    "username auth cipher privlvl lanplus target method cmd_prompt command_prompt hexadecimal_kg"
    " ssl ssl_secure ssl_insecure notls tls1_0 inet4_only inet6_only retry_on verbose quiet"
    " verbose_level delay secure ssh_options ipmitool_path".split()
)
USUAL_PORTS = {"fence_ipmilan": "623", "fence_redfish": "443"}


def shared_with(host: str, device: FenceDevice, others: Iterable[HostFencing]) -> str:
    """The first other host that has this very device, or empty. Several hosts may share a chassis
    or a power strip: their plugs differ."""
    mine = target(device)
    if not mine:
        return ""
    return next(
        (
            other.host
            for other in others
            if other.host != host and any(target(one) == mine for one in other.devices)
        ),
        "",
    )


def target(device: FenceDevice) -> tuple[tuple[str, str], ...]:
    """What it switches, as far as its options say; empty where they name nothing."""
    agent = "fence_ipmilan" if device.agent in IPMI else device.agent
    given = _plain(device.options)
    where = {name: value for name, value in given.items() if not _is_how(name)}
    if where.get("ipport") == USUAL_PORTS.get(agent):
        where.pop("ipport", None)
    if not where:
        return ()
    return ("agent", agent), *sorted(where.items())


def _plain(options: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, value in options.items():
        plain = name.replace("-", "_")
        found[ALIASES.get(plain, plain)] = value.strip()
    if "ip" in found:
        found["ip"] = _address(found["ip"])
    return found


def _is_how(name: str) -> bool:
    return name in HOW or name.endswith(("_timeout", "_wait"))


def _address(text: str) -> str:
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError:
        return text.casefold().rstrip(".")
