"""A site that acts, and keeps its journal in a folder as a controller does."""

from pathlib import Path
from typing import Any

import msgspec

from holdfast.controller.site_memory import open_journal
from holdfast.facts.actions import Action
from holdfast.facts.instants import Instant
from holdfast.facts.site import SiteFact
from tests.policy.fence_scene import FenceScene
from tests.policy.site_laws import LawfulSite


class Noting(LawfulSite):
    """Every step is journaled: what came, then what policy asked for."""

    def __init__(self, lawful: LawfulSite, folder: Path) -> None:
        super().__init__(lawful.decider)
        self._lawful = lawful
        self.journal = open_journal(folder, lawful.decider)
        self.records: list[dict[str, Any]] = []

    def step(self, fact: SiteFact) -> list[Action]:
        at = Instant(getattr(fact, "at", 0) or getattr(fact, "detected_at", 0))
        self.journal.append("input", at, fact)
        self._keep("input", at, fact)
        actions = self._lawful.step(fact)
        for action in actions:
            self.journal.append("action", at, action)
            self._keep("action", at, action)
        return actions

    def _keep(self, kind: str, at: Instant, body: msgspec.Struct) -> None:
        plain = msgspec.json.decode(msgspec.json.encode(body))
        self.records.append({"at": at, "kind": kind, "body": plain})


class JournaledScene(FenceScene):
    """`records` are the lines since it was made, as a story tells them."""

    def __init__(self, folder: Path, *, hosts: int = 5) -> None:
        super().__init__(hosts=hosts)
        self.noting = Noting(self.lawful, folder)
        self.lawful = self.noting

    @property
    def records(self) -> list[dict[str, Any]]:
        return self.noting.records

    def end(self) -> None:
        self.noting.journal.close()
