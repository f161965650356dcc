"""The e-mail example mails what was raised and cleared, and passes on that it could not."""

import asyncio
import os
import sys
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from holdfast.adapters.notifiers.exec import Exec
from holdfast.facts.alarms import AlarmState, record_of
from holdfast.ports.notifier import Notice, NotifyFailed
from tests.adapters.contract_notifier import heartbeat
from tests.adapters.contract_vim import told

EXAMPLE = Path(__file__).parents[4] / "docs" / "examples" / "mail-alarm"


@pytest.fixture
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    sendmail = tmp_path / "sendmail"
    mail = tmp_path / "mail"
    sendmail.write_text(f'#!/bin/sh\ncat >{mail}\nexit "$(cat {tmp_path}/code)"\n')
    sendmail.chmod(0o755)
    (tmp_path / "code").write_text("0")
    monkeypatch.setenv("SENDMAIL", str(sendmail))
    return mail


def send(state: AlarmState) -> None:
    record = record_of(told(1, 2, state), 1_000)
    notice = Notice(stream="s", sequence=1, host="c", record=record)
    asyncio.run(Exec("mail", [sys.executable, str(EXAMPLE), "anna@example.org"]).notify(notice))


def test_a_raised_alarm_is_mailed(outbox: Path) -> None:
    send(AlarmState.RAISED)
    mail = message_from_bytes(outbox.read_bytes(), policy=policy.default)
    assert mail["To"] == "anna@example.org"
    assert mail["Subject"] == "[CRITICAL] web-1: revision 2"
    assert "fault " in mail.get_content()


def test_a_change_and_a_heartbeat_are_not_mailed(outbox: Path) -> None:
    send(AlarmState.CHANGED)
    asyncio.run(Exec("mail", [sys.executable, str(EXAMPLE), "a@b"]).notify(heartbeat()))
    assert not outbox.exists()


def test_a_failure_of_sendmail_is_one_of_ours(outbox: Path) -> None:
    (outbox.parent / "code").write_text("75")
    with pytest.raises(NotifyFailed, match="code 75"):
        send(AlarmState.CLEARED)
    assert b"[CLEARED]" in outbox.read_bytes()
    assert os.access(EXAMPLE, os.X_OK)
