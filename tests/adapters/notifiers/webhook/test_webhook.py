"""The webhook's messages are signed, whole and on one connection; each refusal is told apart."""

import asyncio
import hashlib
import hmac
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.adapters.notifiers.webhook import Webhook
from holdfast.ports.notifier import Notice, Notifier, NotifyFailed, NotifyRefused
from tests.adapters.contract_notifier import NotifierContract, heartbeat, notice
from tests.adapters.http_receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.down()


class TestWebhook(NotifierContract):
    @pytest.fixture(autouse=True)
    def _receiver(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def make(self) -> Notifier:
        return Webhook("noc", self.receiver.url, timeout_s=2.0)

    def told(self) -> list[int]:
        return [body["sequence"] for _, body in self.receiver.arrived]

    def fail(self, how: str) -> None:
        if how == "away":
            self.receiver.down()
        elif how == "refuse":
            self.receiver.status = lambda _: 422
        else:
            self.receiver.up()


def notify_all(hook: Webhook, *notices: object) -> None:
    async def work() -> None:
        try:
            for one in notices:
                await hook.notify(one)  # type: ignore[arg-type]
        finally:
            await hook.close()

    asyncio.run(work())


def test_messages_are_signed_over_time_and_body(receiver: Receiver, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("top secret\n")
    notify_all(Webhook("noc", receiver.url, str(secret)), notice(1))
    headers, body = receiver.headers[0], receiver.raw[0]
    signed = headers["holdfast-timestamp"].encode() + b"." + body
    wanted = hmac.new(b"top secret", signed, hashlib.sha256).hexdigest()
    assert headers["holdfast-signature"] == f"sha256={wanted}"
    assert headers["content-type"] == "application/json"


def test_nothing_leaves_unsigned_when_the_secret_is_gone(
    receiver: Receiver, tmp_path: Path
) -> None:
    with pytest.raises(NotifyFailed, match="secret"):
        notify_all(Webhook("noc", receiver.url, str(tmp_path / "none")), notice(1))
    assert receiver.raw == []


def test_a_changed_secret_is_read_when_the_old_one_is_refused(
    receiver: Receiver, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("old")

    async def work() -> None:
        hook = Webhook("noc", receiver.url, str(secret))
        receiver.status = lambda _: 401
        with pytest.raises(NotifyFailed):
            await hook.notify(notice(1))
        secret.write_text("new")
        receiver.status = lambda _: 200
        await hook.notify(notice(1))
        await hook.close()

    asyncio.run(work())
    signed = receiver.headers[1]["holdfast-timestamp"].encode() + b"." + receiver.raw[1]
    wanted = hmac.new(b"new", signed, hashlib.sha256).hexdigest()
    assert receiver.headers[1]["holdfast-signature"] == f"sha256={wanted}"


def test_all_go_on_one_connection(receiver: Receiver) -> None:
    notify_all(Webhook("noc", receiver.url), *(notice(number) for number in range(1, 30)))
    assert len(receiver.arrived) == 29
    assert receiver.connections == 1


def test_the_message_has_the_fields_of_x733_and_its_times(receiver: Receiver) -> None:
    told = notice(7, gap=2)
    notify_all(Webhook("noc", receiver.url), told)
    body = json.loads(receiver.raw[0])
    assert (body["version"], body["kind"], body["stream"]) == (1, "alarm", "boot.1a2b")
    assert (body["sequence"], body["gap"], body["host"]) == (7, 2, "controller-1")
    record = body["record"]
    assert record["alarm"]["condition"] == "vm-gone"
    assert record["alarm"]["subject"] == {"kind": "vm", "id": "vm-1", "name": "web-1"}
    x733 = record["x733"]
    assert x733["probableCause"] == "SOFTWARE_PROGRAM_ABNORMALLY_TERMINATED"
    assert x733["eventType"] == "processingErrorAlarm"
    assert x733["perceivedSeverity"] == "critical"
    assert x733["proposedRepairActions"]
    times = record["times"]
    ordered = [times[name] for name in ("fault_utc", "detected_utc", "sent_utc", "arrived_utc")]
    assert ordered == sorted(ordered)
    assert all(len(time) == 24 and time.endswith("Z") and time[19] == "." for time in ordered)


def test_a_heartbeat_has_no_record(receiver: Receiver) -> None:
    notify_all(Webhook("noc", receiver.url), heartbeat(3))
    body = json.loads(receiver.raw[0])
    assert body["kind"] == "heartbeat"
    assert "record" not in body


@pytest.mark.parametrize("status", [400, 406, 409, 413, 415, 422])
def test_an_objection_to_this_very_message_is_a_refusal(receiver: Receiver, status: int) -> None:
    receiver.status = lambda _: status
    with pytest.raises(NotifyRefused, match=f"{status}.*no!"):
        notify_all(Webhook("noc", receiver.url), notice(1))


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 408, 410, 429, 500, 502, 503, 504])
def test_what_would_befall_every_message_is_tried_again(receiver: Receiver, status: int) -> None:
    receiver.status = lambda _: status
    with pytest.raises(NotifyFailed, match=str(status)) as failure:
        notify_all(Webhook("noc", receiver.url), notice(1))
    assert not isinstance(failure.value, NotifyRefused)


def test_the_receiver_of_the_documentation_takes_ours_and_refuses_others(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "operate" / "webhook.md").read_text()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program = page.partition("```python\n")[2].partition("```")[0]
    program = program.replace('("", 8080)', f'("127.0.0.1", {port})')
    (tmp_path / "noc.secret").write_text("right\n")
    (tmp_path / "wrong.secret").write_text("wrong\n")
    receiver = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}/"

        async def work() -> None:
            hook = Webhook("noc", url, str(tmp_path / "noc.secret"))
            for one in (notice(1), notice(1), heartbeat(2), notice(3, gap=1)):
                await arrive(hook, one)
            await hook.close()
            hook = Webhook("noc", url, str(tmp_path / "wrong.secret"))
            with pytest.raises(NotifyFailed, match="401"):
                await hook.notify(notice(4))
            await hook.close()

        asyncio.run(work())
    finally:
        receiver.kill()
        said, _ = receiver.communicate()
    assert said.decode().splitlines() == ["revision 1 ", "revision 1 GAP!"]


async def arrive(hook: Webhook, one: Notice) -> None:
    """The receiver needs a moment to begin."""
    for _ in range(200):
        try:
            return await hook.notify(one)
        except NotifyFailed:
            await asyncio.sleep(0.05)
    pytest.fail("the receiver did not begin")


def test_no_answer_is_a_failure_after_its_time(receiver: Receiver) -> None:
    receiver.status = lambda _: 0
    with pytest.raises(NotifyFailed, match=r"0\.2 s"):
        notify_all(Webhook("noc", receiver.url, timeout_s=0.2), notice(1))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1/alarms", "cannot connect to 127.0.0.1:1: connect"),
        ("http://nobody.invalid/alarms", "nobody knows the name nobody.invalid: "),
    ],
)
def test_why_it_was_not_told_is_said_for_people(url: str, said: str) -> None:
    with pytest.raises(NotifyFailed) as failed:
        notify_all(Webhook("noc", url), notice(1))
    assert str(failed.value).startswith(said)
    assert "ssl:" not in str(failed.value)
