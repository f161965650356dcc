"""The root of everything that was seen or heard: when it happened, as far as anybody can tell."""

from msgspec import Struct

from holdfast.facts.instants import Instant


class Seen(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """`at` is when it happened as far as the sensor can tell, else when it was seen."""

    at: Instant
