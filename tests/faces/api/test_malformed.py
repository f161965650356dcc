"""Whatever comes in, the answer is one shape of error with words, and never a fault of ours."""

import asyncio
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tried
from hypothesis import strategies as st
from yarl import URL

from holdfast.faces.api.faults import MOST_TOLD, Faults
from holdfast.faces.api.listening import SOCKET
from holdfast.faces.api.reading import BODY_BYTES, MOST_ROWS
from holdfast.faces.api.routes import ROUTES
from tests.faces.api.site import Api, api

pytestmark = pytest.mark.slow  # Seconds in all: `make test` runs them.

CHANGING = [route for route in ROUTES if route.is_change]
READING = [route for route in ROUTES if not route.is_change and not route.is_stream]
SHORT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | SHORT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SHORT, inner, max_size=4),
    max_leaves=10,
)
NAMES = st.sampled_from(sorted({name for r in ROUTES for name in r.takes.__struct_fields__}))
BODIES = (
    st.binary(max_size=300)
    | JSON.map(lambda data: json.dumps(data).encode("utf-8", "surrogatepass"))
    | st.dictionaries(NAMES, JSON, max_size=5).map(
        lambda data: json.dumps(data).encode("utf-8", "surrogatepass")
    )
)


async def is_in_shape(answer: aiohttp.ClientResponse) -> None:
    told = json.loads(await answer.read())
    assert answer.status != 500, told
    assert answer.status < 600
    if answer.status >= 400:
        assert set(told) == {"error", "hint", "code"}, told
        assert told["error"]
        assert told["code"] in (2, 3, 4)


async def many(site: Api, asked: list[tuple[str, str, dict[str, Any]]]) -> None:
    async with site.here() as session:
        for method, url, more in asked:
            target = URL(f"http://x{url}", encoded=True)
            async with session.request(method, target, **more) as answer:
                await is_in_shape(answer)


@pytest.mark.slow
@tried(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_odd_bodies_and_queries_are_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    part = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
    raw = st.binary(min_size=1, max_size=12)
    asked: list[tuple[str, str, dict[str, Any]]] = []
    for route in data.draw(st.lists(st.sampled_from(CHANGING), min_size=5, max_size=5)):
        path = route.fill({name: data.draw(part) for name in route.parameters})
        asked.append((route.method, path, {"data": data.draw(BODIES)}))
    for route in data.draw(st.lists(st.sampled_from(READING), min_size=5, max_size=5)):
        path = route.fill({name: data.draw(part) for name in route.parameters})
        names = NAMES | st.sampled_from(["limit", "after"])
        query = "&".join(
            f"{name}={''.join(f'%{byte:02x}' for byte in data.draw(raw))}"
            for name in data.draw(st.lists(names, max_size=3))
        )
        asked.append(("GET", f"{path}?{query}", {}))

    async def work() -> None:
        async with api(tmp_path_factory.mktemp("site")) as site:
            await many(site, asked)

    asyncio.run(work())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/v1/disarm", b"{", 400, "the body is no JSON"),
        ("POST", "/v1/disarm", b"[1]", 400, "the body must be one JSON object"),
        ("POST", "/v1/disarm", b"", 400, "object missing required field `reason`"),
        ("POST", "/v1/disarm", b'{"reason":7}', 400, "expected `str`, got `int` - at `reason`"),
        ("POST", "/v1/disarm", b'{"reason":"x","secnds":7}', 400, "unknown field `secnds`"),
        ("POST", "/v1/disarm", b'{"reason":"x","seconds":1e9}', 400, "from 1 s to 24 h"),
        ("POST", "/v1/disarm", b'{"reason":" "}', 400, "a disarm needs a reason"),
        ("POST", "/v1/disarm", b"[" * 60_000, 400, "the body is no JSON"),
        ("POST", "/v1/disarm", b"x" * (BODY_BYTES + 1), 413, "the body is longer than"),
        ("PUT", "/v1/vms/a/protection", b'{"vm":"b"}', 400, "vm is said in the path already"),
        ("PATCH", "/v1/groups/a", b'{"level":9}', 400, "level must be from 1 to 3, not 9"),
        ("PATCH", "/v1/groups/a", b'{"owner":"me"}', 400, "invalid enum value 'me' - at `owner`"),
        ("GET", "/v1/vms?limit=0", b"", 400, f"limit must be from 1 to {MOST_ROWS}"),
        ("GET", "/v1/vms?limit=1&limit=2", b"", 400, "limit is given twice"),
        ("GET", "/v1/vms?color=red", b"", 400, "unknown field `color`"),
        ("GET", "/v1/vms?after=gone", b"", 410, "'gone' is not in the list any more"),
        ("GET", "/v1/events?after=soon", b"", 400, "'soon' is no number of an event"),
        ("GET", "/v1/events/stream?after=x.y", b"", 400, "'x.y' is no number of an event"),
        ("GET", "/v1/vms/web-1", b"", 404, "there is no VM 'web-1'"),
        ("GET", "/v1/hosts/h9", b"", 404, "there is no host 'h9'"),
        ("GET", "/v1/nothing", b"", 404, "there is no /v1/nothing"),
        ("PUT", "/v1/disarm", b"", 405, "PUT is not for /v1/disarm"),
        ("POST", "/v1/tokens", b'{"name":"a b","role":"see"}', 400, "'a b' is no name"),
        ("POST", "/v1/tokens", b'{"name":"a","role":"god"}', 400, "invalid enum value 'god'"),
    ],
)
def test_a_mistake_is_named(
    tmp_path: Path, method: str, path: str, body: bytes, status: int, said: str
) -> None:
    async def work() -> None:
        async with (
            api(tmp_path) as site,
            site.here() as session,
            session.request(method, path, data=body) as answer,
        ):
            told = json.loads(await answer.read())
            assert (answer.status, said in told["error"]) == (status, True), told

    asyncio.run(work())


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /v1/health HTTP/9.9\r\n\r\n",
        b"GET /v1/health HTTP/1.1\r\nHost\r\n\r\n",
        b"POST /v1/arm HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        b"POST /v1/arm HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    ],
)
def test_what_is_no_http_is_answered_in_the_same_shape(tmp_path: Path, raw: bytes) -> None:
    def speak(path: Path) -> bytes:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(10)
            link.connect(str(path))
            link.sendall(raw)
            got = b""
            while more := link.recv(4_096):
                got += more
            return got

    async def work() -> None:
        async with api(tmp_path) as site:
            got = await asyncio.to_thread(speak, site.folder / "run" / SOCKET)
            head, _, body = got.partition(b"\r\n\r\n")
            assert head.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
            assert set(json.loads(body)) == {"error", "hint", "code"}

    asyncio.run(work())


def test_a_fault_of_ours_is_told_without_its_inside(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:

            async def fails(_: object) -> None:
                raise ZeroDivisionError("secret")

            site.controller.questions.add({"vms": fails})
            async with site.here() as session, session.get("/v1/vms") as answer:
                told = await answer.json()
            assert (answer.status, told["code"]) == (500, 5)
            assert "secret" not in str(told)

    asyncio.run(work())


GZIP = b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"
DEFLATE = GZIP.replace(b"gzip", b"deflate")
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabcd\r\n0\r\n\r\n"
LATE_CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\nzz\r\n"


@pytest.mark.parametrize("path", [b"POST /v1/join", b"POST /v1/disarm", b"GET /v1/health"])
@pytest.mark.parametrize("rest", [GZIP, DEFLATE, CHUNKS, LATE_CHUNKS])
def test_a_body_that_is_broken_on_its_way_leaves_no_trace_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: bytes, rest: bytes
) -> None:
    def speak(site: Api) -> bytes:
        """Nobody known: no token, and no certificate."""
        context = ssl.create_default_context(cafile=str(tmp_path / "tls" / "ca.crt"))
        with (
            socket.create_connection(("127.0.0.1", site.port), timeout=10) as bare,
            context.wrap_socket(bare, server_hostname="127.0.0.1") as link,
        ):
            link.sendall(path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + rest)
            got = b""
            while more := link.recv(4_096):
                got += more
            return got

    async def work() -> None:
        async with api(tmp_path) as site:
            caplog.clear()
            head, _, body = (await asyncio.to_thread(speak, site)).partition(b"\r\n\r\n")
            status = int(head.split()[1])
            if status != 200 or path.startswith(b"POST"):
                assert status in (400, 401), (head, body)
                assert set(json.loads(body)) == {"error", "hint", "code"}

    asyncio.run(work())
    assert [one for one in caplog.records if one.exc_info or one.levelname == "ERROR"] == []


def test_faults_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    faults = Faults(lambda: now[0])
    for _ in range(MOST_TOLD + 50):
        faults.note("GET /v1/vms failed", ZeroDivisionError("x"))
    assert (len(caplog.records), faults.untold) == (MOST_TOLD, 50)
    now[0] = 61.0
    faults.note("GET /v1/vms failed", ZeroDivisionError("x"))
    assert "50 faults more were not told here" in caplog.text
    faults.note("GET /v1/vms failed", ConnectionResetError())
    assert len(caplog.records) == MOST_TOLD + 2
