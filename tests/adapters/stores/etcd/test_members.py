"""etcd takes one learner at a time, and one that never started can be taken out again."""

from pathlib import Path

import pytest

from holdfast.adapters.drivers.etcd_members import EtcdMembers, MembersAway
from tests.adapters.etcd_members import free_ports, members, needs_etcd

pytestmark = [needs_etcd, pytest.mark.slow]

LIMIT_S = 20.0


def test_a_learner_that_never_came_makes_way(tmp_path: Path) -> None:
    first, second = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    with members(tmp_path, 1) as made:
        etcd = EtcdMembers(made.endpoints, None)
        etcd.add_learner(first, LIMIT_S)
        with pytest.raises(MembersAway, match="too many learner members"):
            etcd.add_learner(second, 0)
        [learner] = [one for one in etcd.members() if one.is_learner]
        assert learner.peer_url == first
        etcd.remove(learner.id, LIMIT_S)
        told = etcd.add_learner(second, LIMIT_S)
        assert [one.peer_url for one in told if one.is_learner] == [second]
