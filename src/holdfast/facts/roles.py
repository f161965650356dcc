"""Who asks through the API, and what they may do: see, operate, or administer."""

from enum import StrEnum

from msgspec import Struct


class Role(StrEnum):
    """Each may do what those before it may, and more.

    See: read all but tokens and fence devices. Operate: acknowledge, settle, recover, disarm, arm,
    protect, rehearse. Administer: groups, tokens, how hosts are fenced, and whatever only a
    person who answers for the site may say.
    """

    SEE = "see"
    OPERATE = "operate"
    ADMINISTER = "administer"

    def may(self, needed: "Role") -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks, with which right, and from where: words for the audit."""

    name: str
    role: Role
    origin: str
