"""The routes about VMs that move to other hosts, and hosts in maintenance."""

from holdfast.faces.api import migration_shapes as shapes
from holdfast.faces.api.route import OPERATE, SEE, Route, make_route
from holdfast.faces.api.shapes import OfHost, OfVm

MIGRATION_ROUTES: tuple[Route, ...] = (
    make_route(
        "POST /v1/vms/{vm}/migration",
        OPERATE,
        "vm-migrate",
        "Move a VM to another host while it runs",
        takes=shapes.MoveVm,
        gives=shapes.Moved,
        example={"to": "h3"},
    ),
    make_route(
        "GET /v1/vms/{vm}/migration",
        SEE,
        "migration",
        "How far the newest move of a VM is, or how it ended",
        takes=OfVm,
        gives=shapes.Moved,
    ),
    make_route(
        "DELETE /v1/vms/{vm}/migration",
        OPERATE,
        "vm-migrate-cancel",
        "Call the move of a VM off",
        takes=OfVm,
        gives=shapes.Moved,
    ),
    make_route(
        "PUT /v1/hosts/{host}/drain",
        OPERATE,
        "host-drain",
        "Maintenance: move the VMs of a host away, and place none there",
        takes=shapes.DrainHost,
        gives=shapes.Drained,
    ),
    make_route(
        "GET /v1/hosts/{host}/drain",
        SEE,
        "drain",
        "Whether a host is drained, and what still runs there",
        takes=OfHost,
        gives=shapes.Drained,
    ),
    make_route(
        "DELETE /v1/hosts/{host}/drain",
        OPERATE,
        "host-undrain",
        "Maintenance is over: VMs may be placed there again",
        takes=OfHost,
        gives=shapes.Drained,
    ),
    make_route(
        "PUT /v1/hosts/{host}/prediction",
        OPERATE,
        "host-predict",
        "Say that a host is expected to fail: none is placed there, in mode act its VMs move away",
        takes=shapes.PredictHost,
        gives=shapes.Predicted,
        example={"reason": "its memory corrects errors each minute"},
    ),
    make_route(
        "GET /v1/hosts/{host}/prediction",
        SEE,
        "prediction",
        "Whether a host is expected to fail, and what still runs there",
        takes=OfHost,
        gives=shapes.Predicted,
    ),
    make_route(
        "DELETE /v1/hosts/{host}/prediction",
        OPERATE,
        "host-unpredict",
        "A host is no longer expected to fail",
        takes=OfHost,
        gives=shapes.Predicted,
    ),
)
