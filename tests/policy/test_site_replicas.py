"""Three controllers that hear the same hosts, in any order and with any leader, end as one.

Each tells the others what it said, late; leaders come and go. At the end all hosts are heard, one
leads, and nothing is open.

covers: H5 H7
"""

import random

import pytest

from holdfast.facts.alarms import Alarm, AlarmState
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.verdicts import Effect
from holdfast.policy import timing
from tests.policy.site_scene import EFFECTS, SiteScene

HOSTS = ("h1", "h2", "h3")
LOSSES = ("host-lost", "host-panicked", "host-frozen")
BESIDE = ("host-plane-lost", "agent-away", "host-cut-off")
SEEDS = range(60)


class Site:
    """`vim` is what those who are told believe: the highest revision of each alarm."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.scenes = [SiteScene(leads=False, name=f"c{number}") for number in (1, 2, 3)]
        self.known: list[dict[str, Alarm]] = [{} for _ in self.scenes]
        self.vim: dict[str, Alarm] = {}
        self.term = 0
        self.leader: int | None = None
        self.boots = dict.fromkeys(HOSTS, 1)
        self.silent: dict[str, str] = {}  # Host to the condition of its loss.
        self.beside: set[tuple[str, str]] = set()
        self.told = 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._happen()
            for scene in self.scenes:
                scene.wait(self.random.choice((0, 5, 100, 300, 3_000)))
            self._share()

    def end(self) -> None:
        """All is well again: hosts are heard, somebody leads, and everybody has had its time."""
        for host in HOSTS:
            self._hear(host)
        for host, condition in list(self.beside):
            self._mend(host, condition)
        self._lead(0)
        for _ in range(4):
            for scene in self.scenes:
                scene.wait(timing.TAKE_OVER_MS / 2)
            self._share()

    def _happen(self) -> None:
        host = self.random.choice(HOSTS)
        match self.random.randrange(8):
            case 0 | 1 if host not in self.silent:
                self._lose(host, self.random.choice(LOSSES))
            case 2 if host in self.silent:
                self._lose(host, self.random.choice(LOSSES))
            case 3 | 4:
                self._hear(host, boots=self.random.random() < 0.4)
            case 5 if host not in self.silent:
                condition = self.random.choice(BESIDE)
                self.beside.add((host, condition))
                self._all("wrong", host, condition)
            case 6:
                for one in [one for one in self.beside if one[0] == host]:
                    self._mend(*one)
            case 7:
                self._lead(self.random.choice((None, 0, 1, 2)))
            case _:
                pass

    def _all(self, name: str, host: str, condition: str, **more: bool) -> None:
        """Each controller notices it by itself, in any order, and some a little later."""
        order = self.random.sample(self.scenes, len(self.scenes))
        for scene in order:
            scene.ms += self.random.choice((0, 3, 20))
            getattr(scene, name)(host, condition, self.boots[host], **more)

    def _lose(self, host: str, condition: str) -> None:
        was = self.silent.get(host)
        self.silent[host] = condition
        if was != condition:
            self._all("wrong", host, condition)

    def _hear(self, host: str, *, boots: bool = False) -> None:
        condition = self.silent.pop(host, None)
        if condition is not None:
            is_gone = EFFECTS[condition] is Effect.GONE
            self._all("right", host, condition, was_wrong=is_gone and not boots)
        if boots:
            for one in [one for one in self.beside if one[0] == host]:
                self._mend(*one)
            self.boots[host] += 1
        for scene in self.scenes:
            scene.heard(host, self.boots[host])
            scene.vms(host, f"web{host}", boot=self.boots[host])

    def _mend(self, host: str, condition: str) -> None:
        self.beside.discard((host, condition))
        self._all("right", host, condition)

    def _lead(self, leader: int | None) -> None:
        if leader == self.leader:
            return
        if self.leader is not None:
            self.scenes[self.leader].lead(0)
        self.leader = leader
        if leader is not None:
            self.term += 1
            self.scenes[leader].lead(self.term)

    def _share(self) -> None:
        """What one said since is told to those above and to the others."""
        for index, scene in enumerate(self.scenes):
            said = dict(scene.world.reported)
            news = [a for key, a in said.items() if self.known[index].get(key) != a]
            self.known[index] = said
            for alarm in [one for one in news if one.host == scene.world.controller]:
                self.told += 1
                before = self.vim.get(alarm.key)
                if before is None or before.revision < alarm.revision:
                    self.vim[alarm.key] = alarm
                for other in self.scenes:
                    if other is not scene:
                        other.share(alarm)


@pytest.mark.parametrize("seed", SEEDS)
def test_controllers_end_as_one(seed: int) -> None:
    site = Site(seed)
    site.run(60)
    site.end()
    left = [a for a in site.vim.values() if a.state is not AlarmState.CLEARED]
    assert [(a.key, a.revision, a.host, a.text) for a in left] == []
    for scene in site.scenes:
        world = scene.world
        assert world.wanted == {}
        assert {record.incident for record in world.hosts.values()} == {""}
        assert world.held == {}
    assert site.told > 5


def test_something_is_told_by_each_of_them() -> None:
    sites = [Site(seed) for seed in range(6)]
    for site in sites:
        site.run(60)
    hosts = {alarm.host for site in sites for alarm in site.vim.values()}
    assert hosts == {"c1", "c2", "c3"}
    assert sum(scene.ms for site in sites for scene in site.scenes) > 6 * NS_PER_MS / NS_PER_MS
