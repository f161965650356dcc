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


def _route(where: str, role: Role | None, question: str, summary: str, /, **more: Any) -> Route:
    method, _, path = where.partition(" ")
    return Route(method=method, path=path, role=role, question=question, summary=summary, **more)


def route_for(question: str, args: Iterable[str]) -> Route:
    """The first route of a question whose path can be filled. Raises KeyError."""
    given = set(args)
    for route in ROUTES:
        if route.question == question and given.issuperset(route.parameters):
            return route
    raise KeyError(question)


ROUTES: tuple[Route, ...] = (
    _route(
        "GET /v1/status",
        SEE,
        "status",
        "How controller, agents and VMs fare",
        gives=shapes.Status,
    ),
    _route(
        "GET /v1/hosts",
        SEE,
        "hosts",
        "Every host, and how it was last heard",
        gives=shapes.Host,
        rows="hosts",
        key="host",
    ),
    _route(
        "GET /v1/hosts/{host}",
        SEE,
        "host",
        "One host, its VMs and open alarms",
        takes=shapes.OfHost,
        gives=shapes.HostShown,
    ),
    _route(
        "PUT /v1/hosts/{host}/mode",
        ADMINISTER,
        "host-mode",
        "Act when this host dies, or only report it",
        takes=shapes.SetMode,
        gives=shapes.HostFenced,
        example={"mode": "act"},
    ),
    _route(
        "POST /v1/hosts/{host}/confirm-dead",
        ADMINISTER,
        "host-confirm-dead",
        "Tell the last signs of life of a host; with `confirmed`, say that it is dead",
        takes=shapes.ConfirmDead,
        gives=shapes.ConfirmedDead,
        example={"confirmed": "h4", "because": "I pulled its power plug"},
    ),
    _route(
        "GET /v1/fences",
        OPERATE,
        "fence-list",
        "Every host: its mode, its fence devices without their secrets, and what they answered",
        gives=shapes.HostFenced,
        rows="hosts",
        key="host",
    ),
    _route(
        "PUT /v1/hosts/{host}/fence",
        ADMINISTER,
        "fence-set",
        "Set a fence device at a place of a host's ladder",
        takes=shapes.SetFence,
        gives=shapes.HostFenced,
        example={
            "agent": "fence_ipmilan",
            "options": {"ip": "10.0.9.4", "username": "holdfast"},
            "secrets": {"password": "PASSWORD of the BMC"},
        },
    ),
    _route(
        "DELETE /v1/hosts/{host}/fence",
        ADMINISTER,
        "fence-clear",
        "Take one fence device of a host away, or all of them",
        takes=shapes.ClearFence,
        gives=shapes.HostFenced,
    ),
    _route(
        "POST /v1/hosts/{host}/rehearse",
        OPERATE,
        "fence-rehearse",
        "Try the fence devices of a host, without harm",
        takes=shapes.OfHost,
        gives=shapes.Rehearsed,
    ),
    _route(
        "POST /v1/fences/rehearse",
        OPERATE,
        "fence-rehearse",
        "Try the fence devices of all hosts, without harm",
        gives=shapes.Rehearsed,
    ),
    _route(
        "GET /v1/vms",
        SEE,
        "vms",
        "Every VM",
        gives=shapes.VmSummary,
        rows="vms",
        key="vm",
    ),
    _route(
        "GET /v1/vms/{vm}",
        SEE,
        "vm",
        "One VM and its incidents; by uuid or name",
        takes=shapes.OfVm,
        gives=shapes.VmShown,
    ),
    _route(
        "PUT /v1/vms/{vm}/protection",
        OPERATE,
        "protect",
        "Restart this VM when it fails",
        takes=shapes.Protect,
        gives=shapes.Protected,
        stronger={"old_host_is_gone": ADMINISTER},
        example={"group": "default", "answer": "agent"},
    ),
    _route(
        "DELETE /v1/vms/{vm}/protection",
        OPERATE,
        "unprotect",
        "Leave this VM alone again",
        takes=shapes.OfVm,
        gives=shapes.Unprotected,
    ),
    _route(
        "POST /v1/vms/{vm}/recover",
        OPERATE,
        "recover",
        "Try again to bring a VM back, with a new budget",
        takes=shapes.OfVm,
        gives=shapes.Recovering,
    ),
    _route(
        "GET /v1/vms/{vm}/last-words",
        SEE,
        "last-words",
        "What a VM left at its death; the newest without an incident",
        takes=shapes.LastWordsOf,
        gives=shapes.LastWordsShown,
    ),
    _route(
        "GET /v1/groups",
        SEE,
        "groups",
        "Every group of VMs",
        gives=shapes.Group,
        rows="groups",
        key="name",
    ),
    _route(
        "GET /v1/groups/{name}",
        SEE,
        "group",
        "One group and its VMs",
        takes=shapes.OfGroup,
        gives=shapes.GroupShown,
    ),
    _route(
        "PATCH /v1/groups/{name}",
        ADMINISTER,
        "group-set",
        "Make a group, or change what is named of it",
        takes=shapes.SetGroup,
        gives=shapes.GroupChanged,
        example={"owner": "holdfast", "level": 2},
    ),
    _route(
        "DELETE /v1/groups/{name}",
        ADMINISTER,
        "group-forget",
        "Forget a group that no VM is in",
        takes=shapes.OfGroup,
        gives=shapes.Told,
    ),
    _route(
        "GET /v1/alarms",
        SEE,
        "alarms",
        "Open alarms; cleared ones too with include_cleared=true",
        takes=shapes.WhichAlarms,
        gives=shapes.AlarmRecord,
        rows="alarms",
        key="alarm.key",
    ),
    _route(
        "POST /v1/alarms/acknowledge",
        OPERATE,
        "acknowledge",
        "Say that somebody has seen an alarm",
        takes=shapes.Acknowledge,
        gives=shapes.AlarmRecord,
        example={"key": "KEY of the alarm"},
    ),
    _route(
        "GET /v1/incidents",
        SEE,
        "incidents",
        "What went wrong, the newest last",
        gives=shapes.Incident,
        rows="incidents",
        key="id",
    ),
    _route(
        "GET /v1/incidents/{incident}",
        SEE,
        "incident",
        "One incident; a VM's name stands for its newest one",
        takes=shapes.OfIncident,
        gives=shapes.Incident,
    ),
    _route(
        "GET /v1/incidents/{incident}/explain",
        SEE,
        "explain",
        "The story of an incident, from the journals of all who saw it",
        takes=shapes.OfIncident,
        gives=shapes.Explained,
    ),
    _route(
        "GET /v1/explain",
        SEE,
        "explain",
        "The story of the newest incident",
        gives=shapes.Explained,
    ),
    _route(
        "POST /v1/incidents/{incident}/settle",
        OPERATE,
        "settle",
        "Close an incident that a person dealt with",
        takes=shapes.OfIncident,
        gives=shapes.Incident,
    ),
    _route(
        "POST /v1/disarm",
        OPERATE,
        "disarm",
        "Switch automatic recovery off for a while",
        takes=shapes.Disarming,
        gives=shapes.Disarmed,
        example={"reason": "disk swap on h1", "seconds": 1800},
    ),
    _route(
        "POST /v1/arm",
        OPERATE,
        "arm",
        "Switch automatic recovery on again",
        gives=shapes.ArmedAgain,
    ),
    _route(
        "GET /v1/events",
        SEE,
        "events",
        "What happened after an event; without `after` the newest",
        takes=shapes.EventsAfter,
        gives=shapes.Events,
    ),
    _route(
        "GET /v1/events/stream",
        SEE,
        "follow",
        "What happens, as it happens: server-sent events",
        takes=shapes.Follow,
        gives=shapes.Event,
        is_stream=True,
    ),
    _route(
        "GET /v1/audit",
        OPERATE,
        "audit",
        "Who changed what, from where, and what came of it; the newest last",
        takes=shapes.Newest,
        gives=shapes.Changes,
    ),
    _route(
        "GET /v1/tokens",
        ADMINISTER,
        "api-tokens",
        "Tokens of this API, without their secrets",
        gives=shapes.TokenShown,
        rows="tokens",
        key="name",
    ),
    _route(
        "POST /v1/tokens",
        ADMINISTER,
        "api-token-create",
        "Make a token; only this answer holds it",
        takes=shapes.CreateToken,
        gives=shapes.TokenMade,
        example={"name": "grafana", "role": "see", "seconds": 7776000},
    ),
    _route(
        "DELETE /v1/tokens/{name}",
        ADMINISTER,
        "api-token-revoke",
        "End a token now",
        takes=shapes.OfToken,
        gives=shapes.OfToken,
    ),
    _route(
        "GET /v1/site",
        SEE,
        "site",
        "What every host of the site has in its settings alike",
        gives=shapes.SitePlan,
    ),
    _route(
        "GET /v1/certificates",
        SEE,
        "certificates",
        "Certificates that the site signed, also those that ended or were revoked",
        gives=shapes.Issued,
        rows="certificates",
        key="serial",
    ),
    _route(
        "GET /v1/certificates/ca",
        SEE,
        "ca",
        "The certificate of the site's CA, and its fingerprint",
        gives=shapes.CaShown,
    ),
    _route(
        "POST /v1/certificates/revoke",
        ADMINISTER,
        "certificate-revoke",
        "Revoke a certificate by its serial, or all of a host by its name",
        takes=shapes.RevokeCertificate,
        gives=shapes.Revoked,
        example={"name": "h4", "reason": "stolen"},
    ),
    _route(
        "GET /v1/joins",
        ADMINISTER,
        "joins",
        "Tokens that let a host join, without their secrets",
        rows="joins",
        key="id",
    ),
    _route(
        "POST /v1/joins",
        ADMINISTER,
        "join-new",
        "Make a token that lets one host join, once",
        takes=shapes.NewJoin,
        example={"controller": False, "for_s": 3600},
    ),
    _route(
        "DELETE /v1/joins/{id}",
        ADMINISTER,
        "join-revoke",
        "Let nobody join with a token any more",
        takes=shapes.OfJoin,
    ),
    _route(
        "GET /v1/health",
        None,
        "",
        "Whether the API answers; for load balancers",
        gives=shapes.Health,
    ),
    _route(
        "GET /v1/openapi.json",
        None,
        "",
        "This API, for programs",
    ),
)
