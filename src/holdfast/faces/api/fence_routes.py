"""The routes about how hosts are fenced, and about hosts that are dead."""

from holdfast.faces.api import fence_shapes
from holdfast.faces.api.guarantee_shapes import GuaranteeShown
from holdfast.faces.api.route import ADMINISTER, OPERATE, SEE, Route, make_route
from holdfast.faces.api.shapes import Losses, OfHost

FENCE_ROUTES: tuple[Route, ...] = (
    make_route(
        "PUT /v1/hosts/{host}/mode",
        ADMINISTER,
        "host-mode",
        "Act when this host dies, or only report it",
        takes=fence_shapes.SetMode,
        gives=fence_shapes.HostFenced,
        example={"mode": "act"},
    ),
    make_route(
        "POST /v1/hosts/{host}/confirm-dead",
        ADMINISTER,
        "host-confirm-dead",
        "Tell the last signs of life of a host; with `confirmed`, say that it is dead",
        takes=fence_shapes.ConfirmDead,
        gives=fence_shapes.ConfirmedDead,
        example={"confirmed": "h4", "because": "I pulled its power plug"},
    ),
    make_route(
        "GET /v1/guarantee",
        SEE,
        "guarantee",
        "What the loss of each host would mean, or of each pair: which VMs would start nowhere",
        takes=Losses,
        gives=GuaranteeShown,
    ),
    make_route(
        "GET /v1/fences",
        OPERATE,
        "fence-list",
        "Every host: its mode, its fence devices without their secrets, and what they answered",
        gives=fence_shapes.HostFenced,
        rows="hosts",
        key="host",
    ),
    make_route(
        "PUT /v1/hosts/{host}/fence",
        ADMINISTER,
        "fence-set",
        "Set a fence device at a place of a host's ladder",
        takes=fence_shapes.SetFence,
        gives=fence_shapes.HostFenced,
        example={
            "agent": "fence_ipmilan",
            "options": {"ip": "10.0.9.4", "username": "holdfast"},
            "secrets": {"password": "PASSWORD of the BMC"},
        },
    ),
    make_route(
        "DELETE /v1/hosts/{host}/fence",
        ADMINISTER,
        "fence-clear",
        "Take one fence device of a host away, or all of them",
        takes=fence_shapes.ClearFence,
        gives=fence_shapes.HostFenced,
    ),
    make_route(
        "POST /v1/hosts/{host}/rehearse",
        OPERATE,
        "fence-rehearse",
        "Try the fence devices of a host, without harm",
        takes=OfHost,
        gives=fence_shapes.Rehearsed,
    ),
    make_route(
        "POST /v1/fences/rehearse",
        OPERATE,
        "fence-rehearse",
        "Try the fence devices of all hosts, without harm",
        gives=fence_shapes.Rehearsed,
    ),
)
