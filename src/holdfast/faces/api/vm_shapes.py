"""VMs beside those that a host runs, as the API tells of them."""

from msgspec import Struct


class DefinedVm(Struct, frozen=True, kw_only=True):
    """A VM of which a host has nothing but a definition; `host_name` is where it is."""

    vm: str
    name: str
    host_name: str = ""
