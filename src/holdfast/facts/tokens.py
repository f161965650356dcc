"""A token of the API: who holds it may do what its role says, until it ends."""

from msgspec import Struct

from holdfast.facts.roles import Role


class Token(Struct, frozen=True, kw_only=True):
    """As the store keeps it: of the secret only the SHA-256, in hex. UTC milliseconds."""

    name: str
    role: Role
    digest: str
    made_by: str
    made_utc_ms: int
    until_utc_ms: int


class TokenShown(Struct, frozen=True, kw_only=True):
    """`used_utc_ms`: when this controller last saw it, to the minute; null: never."""

    name: str
    role: Role
    made_by: str
    made_utc_ms: int
    until_utc_ms: int
    used_utc_ms: int | None = None
