"""What is kept of a virtual switch is what it should be, not what is left of it."""

from pathlib import Path

import pytest

from holdfast.adapters.drivers.ovsdb import Tables
from holdfast.adapters.drivers.switch_record import (
    BridgeRecord,
    PortRecord,
    SwitchRecord,
    assignments,
    load,
    merged,
    ports_of,
    save,
)


def record(flows: int = 10, *ports: str, bridge: str = "br") -> SwitchRecord:
    lines = tuple(f"priority={number} actions=drop" for number in range(flows))
    made = {name: PortRecord(name=name, columns={}, interfaces={name: {}}) for name in ports}
    one = BridgeRecord(name=bridge, ports=made, flows=lines)
    return SwitchRecord(bridges={bridge: one})


@pytest.mark.parametrize(("now", "kept"), [(20, 20), (6, 6), (5, 5), (4, 10), (0, 10)])
def test_lost_flows_do_not_replace_those_on_record(now: int, kept: int) -> None:
    found = merged(record(10), record(now), lambda _: True)
    assert len(found.bridges["br"].flows) == kept


def test_a_missing_port_stays_on_record_while_its_device_is_there() -> None:
    before, now = record(1, "a", "b", "c"), record(1, "c")
    found = merged(before, now, lambda device: device == "a")
    assert sorted(found.bridges["br"].ports) == ["a", "c"]


def test_a_port_that_moved_belongs_to_the_other_bridge_alone() -> None:
    before = record(1, "a")
    other = record(1, "a", bridge="br2").bridges
    now = SwitchRecord(bridges={**record(1).bridges, **other})
    found = merged(before, now, lambda _: True)
    assert not found.bridges["br"].ports
    assert sorted(found.bridges["br2"].ports) == ["a"]


def test_ports_are_read_with_what_makes_them_and_without_what_is_measured() -> None:
    rows: Tables = {
        "Bridge": {"b": {"name": "br", "ports": ["p", "q"]}, "c": {"name": "br2", "ports": []}},
        "Port": {
            "p": {"name": "bond", "tag": 7, "trunks": [], "interfaces": ["i", "j"], "status": {}},
            "q": {"name": "br", "interfaces": ["k"]},
        },
        "Interface": {
            "i": {"name": "eth1", "ofport": 3, "type": "", "statistics": {"a": 1}},
            "j": {"name": "eth2", "ofport": -1, "type": "system", "options": {"a": "b"}},
            "k": {"name": "br", "ofport": 65_534, "type": "internal"},
        },
    }
    assert ports_of(rows, "br") == {
        "bond": PortRecord(
            name="bond",
            columns={"tag": 7},
            interfaces={
                "eth1": {"ofport_request": 3},
                "eth2": {"type": "system", "options": {"a": "b"}},
            },
        )
    }


def test_values_are_written_as_the_tool_takes_them() -> None:
    columns = {
        "tag": 7,
        "trunks": [1, 2],
        "protected": True,
        "external_ids": {"a b": 'c"d', "e": "7"},
        "type": "internal",
    }
    assert assignments(columns) == [
        r'external_ids={"a b"="c\"d","e"="7"}',
        "protected=true",
        "tag=7",
        "trunks=[1,2]",
        'type="internal"',
    ]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"bridges": 7}'])
def test_no_whole_record_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "vswitch.json"
    if content is not None:
        path.write_bytes(content)
    assert load(path) == SwitchRecord()
    save(path, record(3, "a"))
    assert load(path) == record(3, "a")
    assert load(path, "another boot") == SwitchRecord(boot="another boot")
    assert [each.name for each in tmp_path.iterdir()] == ["vswitch.json"]
