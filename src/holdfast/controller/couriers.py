"""A courier for each notifier that the settings name, with an outbox of its own."""

from collections.abc import Callable
from pathlib import Path

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.adapters.notifiers.exec import Exec
from holdfast.adapters.notifiers.webhook import Webhook
from holdfast.adapters.outboxes.disk import DiskOutbox
from holdfast.controller.courier import Courier
from holdfast.controller.patience import Patience
from holdfast.facts.alarms import AlarmRecord
from holdfast.facts.settings import Settings
from holdfast.ports.notifier import Notifier


def make_couriers(
    settings: Settings,
    state: Path,
    boot: str,
    host_name: str,
    answered: Callable[[AlarmRecord, int], None],
    settled: Callable[[AlarmRecord, str], None],
    shelf: Shelf,
) -> list[Courier]:
    """`answered` hears what a webhook answered; `settled` what any of them need not be told
    again. Programs wake people: they are not told of what is only suspected, for a while."""

    def made(
        notifier: Notifier,
        told: Callable[[AlarmRecord, int], None],
        patience: Patience | None = None,
    ) -> Courier:
        folder = state / "outboxes" / notifier.name
        return Courier(
            notifier,
            DiskOutbox(folder, boot, settings.outbox_mib << 20),
            host=host_name,
            parked=folder / "refused.jsonl",
            answered=told,
            settled=settled,
            patience=patience,
        )

    webhooks = [
        Webhook(one.name, one.url, one.secret_file, one.heartbeat_s) for one in settings.webhooks
    ]
    programs = [Exec(one.name, one.command, one.timeout_s) for one in settings.execs]
    return [made(one, answered) for one in webhooks] + [
        made(one, lambda _record, _at: None, Patience(one.name, shelf)) for one in programs
    ]
