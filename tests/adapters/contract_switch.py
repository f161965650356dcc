"""What every switch that can be mended does: it puts back what was on record, and says what not.

The world is a bridge `br-vm` with flows, a port `vm1` and a link `up1`; acts on it are the test's.
"""

import re

import pytest


class SwitchContract:
    """`mend` does one act and returns what was said, or raises what `refusal` names."""

    refusal: type[Exception]

    def mend(self, act: str, *words: str) -> str:
        raise NotImplementedError

    def count_flows(self) -> int:
        raise NotImplementedError

    def lose_flows(self) -> None:
        raise NotImplementedError

    def lose_port(self) -> None:
        raise NotImplementedError

    def has_port(self) -> bool:
        raise NotImplementedError

    def lower_link(self) -> None:
        raise NotImplementedError

    def test_flows_that_were_lost_are_put_back_also_when_the_loss_was_recorded(self) -> None:
        self.mend("record")
        had = self.count_flows()
        self.lose_flows()
        assert self.count_flows() < had
        self.mend("record")
        assert "br-vm has its" in self.mend("restore_flows", "br-vm")
        assert self.count_flows() >= had

    def test_a_port_that_was_lost_is_made_anew_also_when_the_loss_was_recorded(self) -> None:
        self.mend("record")
        self.lose_port()
        assert not self.has_port()
        self.mend("record")
        assert "port vm1" in self.mend("rebuild_port", "vm1")
        assert self.has_port()

    def test_a_link_is_switched_on(self) -> None:
        self.lower_link()
        assert "up1 was switched on" in self.mend("raise_link", "up1")

    @pytest.mark.parametrize(
        ("act", "word", "complaint"),
        [
            ("restore_flows", "br77", "no flows of br77 are on record"),
            ("rebuild_port", "eth77", "no port with eth77 is on record"),
            ("raise_link", "eth77", "eth77"),
        ],
    )
    def test_what_cannot_be_mended_is_named(self, act: str, word: str, complaint: str) -> None:
        with pytest.raises(self.refusal, match=re.escape(complaint)):
            self.mend(act, word)
