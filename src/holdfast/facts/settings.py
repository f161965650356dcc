"""What a site decides once, in /etc/holdfast/holdfast.toml; every default works."""

from msgspec import Struct

from holdfast.facts.promises import Group

DEFAULT_FILE = "/etc/holdfast/holdfast.toml"


class Webhook(Struct, frozen=True, kw_only=True):
    """`secret_file` holds the key of the HMAC signature; without it messages are not signed."""

    name: str
    url: str
    secret_file: str = ""
    heartbeat_s: float = 10.0


class Exec(Struct, frozen=True, kw_only=True):
    """A program that gets each alarm as JSON on its standard input."""

    name: str
    command: tuple[str, ...]
    timeout_s: float = 30.0


class Settings(Struct, frozen=True, kw_only=True):
    """Sizes are bounds of what Holdfast writes on this host, in MiB."""

    host_name: str = ""  # Empty: the machine's own.
    state_dir: str = "/var/lib/holdfast"
    run_dir: str = "/run/holdfast"
    cache_dir: str = "/var/cache/holdfast"
    libvirt_uri: str = "qemu:///system"
    webhooks: tuple[Webhook, ...] = ()
    execs: tuple[Exec, ...] = ()
    groups: tuple[Group, ...] = ()
    recorder_mib: int = 1  # For each VM.
    last_words_mib: int = 512
    journal_mib: int = 64
    outbox_mib: int = 64
