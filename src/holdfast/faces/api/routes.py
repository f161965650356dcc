"""Every route of the API in one table: who may use it, what it takes, and what it gives.

The server, the command line, openapi.json and docs/api.md are all made from it. Imports nothing
but facts, since each command of a person reads it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from holdfast.faces.api import shapes
from holdfast.facts.roles import Role

SEE, OPERATE, ADMINISTER = Role.SEE, Role.OPERATE, Role.ADMINISTER
_PARAMETER = re.compile(r"{(\w+)}")


class Route(Struct, frozen=True, kw_only=True):
    """`role` None: open to everybody. `question` is what the controller is asked.

    `rows`: a list that comes page by page under this name, each row known by its field `key`.
    `stronger`: arguments that need more than `role`. `example` is a body for the docs. No
    `question`: the API answers by itself.
    """

    method: str
    path: str
    role: Role | None
    question: str
    summary: str
    takes: type[Struct] = shapes.Nothing
    gives: Any = shapes.Anything
    rows: str = ""
    key: str = ""
    stronger: Mapping[str, Role] = {}
    is_stream: bool = False  # Server-sent events, without an end.
    example: Mapping[str, Any] = {}

    @property
    def parameters(self) -> tuple[str, ...]:
        """Those in the path."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def is_change(self) -> bool:
        return self.method != "GET"

    def fill(self, args: Mapping[str, Any]) -> str:
        """The path with these arguments in their places."""
        return _PARAMETER.sub(lambda found: quote(str(args[found[1]]), safe=""), self.path)


def route_for(question: str, args: Iterable[str]) -> Route:
    """The first route of a question whose path can be filled. Raises KeyError."""
    given = set(args)
    for route in ROUTES:
        if route.question == question and given.issuperset(route.parameters):
            return route
    raise KeyError(question)


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/status",
        role=SEE,
        question="status",
        summary="How controller, agents and VMs fare",
        gives=shapes.Status,
    ),
    Route(
        method="GET",
        path="/v1/hosts",
        role=SEE,
        question="hosts",
        summary="Every host, and how it was last heard",
        gives=shapes.Host,
        rows="hosts",
        key="host",
    ),
    Route(
        method="GET",
        path="/v1/hosts/{host}",
        role=SEE,
        question="host",
        summary="One host, its VMs and open alarms",
        takes=shapes.OfHost,
        gives=shapes.HostShown,
    ),
    Route(
        method="GET",
        path="/v1/vms",
        role=SEE,
        question="vms",
        summary="Every VM",
        gives=shapes.VmSummary,
        rows="vms",
        key="vm",
    ),
    Route(
        method="GET",
        path="/v1/vms/{vm}",
        role=SEE,
        question="vm",
        summary="One VM and its incidents; by uuid or name",
        takes=shapes.OfVm,
        gives=shapes.VmShown,
    ),
    Route(
        method="PUT",
        path="/v1/vms/{vm}/protection",
        role=OPERATE,
        question="protect",
        summary="Restart this VM when it fails",
        takes=shapes.Protect,
        gives=shapes.Protected,
        stronger={"old_host_is_gone": ADMINISTER},
        example={"group": "default", "answer": "agent"},
    ),
    Route(
        method="DELETE",
        path="/v1/vms/{vm}/protection",
        role=OPERATE,
        question="unprotect",
        summary="Leave this VM alone again",
        takes=shapes.OfVm,
        gives=shapes.Unprotected,
    ),
    Route(
        method="POST",
        path="/v1/vms/{vm}/recover",
        role=OPERATE,
        question="recover",
        summary="Try again to bring a VM back, with a new budget",
        takes=shapes.OfVm,
        gives=shapes.Recovering,
    ),
    Route(
        method="GET",
        path="/v1/vms/{vm}/last-words",
        role=SEE,
        question="last-words",
        summary="What a VM left at its death; the newest without an incident",
        takes=shapes.LastWordsOf,
        gives=shapes.LastWordsShown,
    ),
    Route(
        method="GET",
        path="/v1/groups",
        role=SEE,
        question="groups",
        summary="Every group of VMs",
        gives=shapes.Group,
        rows="groups",
        key="name",
    ),
    Route(
        method="GET",
        path="/v1/groups/{name}",
        role=SEE,
        question="group",
        summary="One group and its VMs",
        takes=shapes.OfGroup,
        gives=shapes.GroupShown,
    ),
    Route(
        method="PATCH",
        path="/v1/groups/{name}",
        role=ADMINISTER,
        question="group-set",
        summary="Make a group, or change what is named of it",
        takes=shapes.SetGroup,
        gives=shapes.GroupChanged,
        example={"owner": "holdfast", "level": 2},
    ),
    Route(
        method="DELETE",
        path="/v1/groups/{name}",
        role=ADMINISTER,
        question="group-forget",
        summary="Forget a group that no VM is in",
        takes=shapes.OfGroup,
        gives=shapes.Told,
    ),
    Route(
        method="GET",
        path="/v1/alarms",
        role=SEE,
        question="alarms",
        summary="Open alarms; cleared ones too with include_cleared=true",
        takes=shapes.WhichAlarms,
        gives=shapes.AlarmRecord,
        rows="alarms",
        key="alarm.key",
    ),
    Route(
        method="POST",
        path="/v1/alarms/acknowledge",
        role=OPERATE,
        question="acknowledge",
        summary="Say that somebody has seen an alarm",
        takes=shapes.Acknowledge,
        gives=shapes.AlarmRecord,
        example={"key": "KEY of the alarm"},
    ),
    Route(
        method="GET",
        path="/v1/incidents",
        role=SEE,
        question="incidents",
        summary="What went wrong, the newest last",
        gives=shapes.Incident,
        rows="incidents",
        key="id",
    ),
    Route(
        method="GET",
        path="/v1/incidents/{incident}",
        role=SEE,
        question="incident",
        summary="One incident; a VM's name stands for its newest one",
        takes=shapes.OfIncident,
        gives=shapes.Incident,
    ),
    Route(
        method="GET",
        path="/v1/incidents/{incident}/explain",
        role=SEE,
        question="explain",
        summary="The story of an incident, from the journals of all who saw it",
        takes=shapes.OfIncident,
        gives=shapes.Explained,
    ),
    Route(
        method="GET",
        path="/v1/explain",
        role=SEE,
        question="explain",
        summary="The story of the newest incident",
        gives=shapes.Explained,
    ),
    Route(
        method="POST",
        path="/v1/incidents/{incident}/settle",
        role=OPERATE,
        question="settle",
        summary="Close an incident that a person dealt with",
        takes=shapes.OfIncident,
        gives=shapes.Incident,
    ),
    Route(
        method="POST",
        path="/v1/disarm",
        role=OPERATE,
        question="disarm",
        summary="Switch automatic recovery off for a while",
        takes=shapes.Disarming,
        gives=shapes.Disarmed,
        example={"reason": "disk swap on h1", "seconds": 1800},
    ),
    Route(
        method="POST",
        path="/v1/arm",
        role=OPERATE,
        question="arm",
        summary="Switch automatic recovery on again",
        gives=shapes.ArmedAgain,
    ),
    Route(
        method="GET",
        path="/v1/events",
        role=SEE,
        question="events",
        summary="What happened after an event; without `after` the newest",
        takes=shapes.EventsAfter,
        gives=shapes.Events,
    ),
    Route(
        method="GET",
        path="/v1/events/stream",
        role=SEE,
        question="follow",
        summary="What happens, as it happens: server-sent events",
        takes=shapes.Follow,
        gives=shapes.Event,
        is_stream=True,
    ),
    Route(
        method="GET",
        path="/v1/audit",
        role=OPERATE,
        question="audit",
        summary="Who changed what, from where, and what came of it; the newest last",
        takes=shapes.Newest,
        gives=shapes.Changes,
    ),
    Route(
        method="GET",
        path="/v1/tokens",
        role=ADMINISTER,
        question="api-tokens",
        summary="Tokens of this API, without their secrets",
        gives=shapes.TokenShown,
        rows="tokens",
        key="name",
    ),
    Route(
        method="POST",
        path="/v1/tokens",
        role=ADMINISTER,
        question="api-token-create",
        summary="Make a token; only this answer holds it",
        takes=shapes.CreateToken,
        gives=shapes.TokenMade,
        example={"name": "grafana", "role": "see", "seconds": 7776000},
    ),
    Route(
        method="DELETE",
        path="/v1/tokens/{name}",
        role=ADMINISTER,
        question="api-token-revoke",
        summary="End a token now",
        takes=shapes.OfToken,
        gives=shapes.OfToken,
    ),
    Route(
        method="GET",
        path="/v1/site",
        role=SEE,
        question="site",
        summary="What every host of the site has in its settings alike",
        gives=shapes.SitePlan,
    ),
    Route(
        method="GET",
        path="/v1/certificates",
        role=SEE,
        question="certificates",
        summary="Certificates that the site signed, also those that ended or were revoked",
        gives=shapes.Issued,
        rows="certificates",
        key="serial",
    ),
    Route(
        method="GET",
        path="/v1/certificates/ca",
        role=SEE,
        question="ca",
        summary="The certificate of the site's CA, and its fingerprint",
        gives=shapes.CaShown,
    ),
    Route(
        method="POST",
        path="/v1/certificates/revoke",
        role=ADMINISTER,
        question="certificate-revoke",
        summary="Revoke a certificate by its serial, or all of a host by its name",
        takes=shapes.RevokeCertificate,
        gives=shapes.Revoked,
        example={"name": "h4", "reason": "stolen"},
    ),
    Route(
        method="GET",
        path="/v1/joins",
        role=ADMINISTER,
        question="joins",
        summary="Tokens that let a host join, without their secrets",
        rows="joins",
        key="id",
    ),
    Route(
        method="POST",
        path="/v1/joins",
        role=ADMINISTER,
        question="join-new",
        summary="Make a token that lets one host join, once",
        takes=shapes.NewJoin,
        example={"controller": False, "for_s": 3600},
    ),
    Route(
        method="DELETE",
        path="/v1/joins/{id}",
        role=ADMINISTER,
        question="join-revoke",
        summary="Let nobody join with a token any more",
        takes=shapes.OfJoin,
    ),
    Route(
        method="GET",
        path="/v1/health",
        role=None,
        question="",
        summary="Whether the API answers; for load balancers",
        gives=shapes.Health,
    ),
    Route(
        method="GET",
        path="/v1/openapi.json",
        role=None,
        question="",
        summary="This API, for programs",
    ),
)
