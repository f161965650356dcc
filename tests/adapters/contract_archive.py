"""What every archive keeps: the contract that the real one and the fake are tested by."""

import stat

from holdfast.facts.last_words import Bundle
from holdfast.ports.archive import Archive


def bundle(incident: str, at: int = 1_000, vm: str = "vm-1") -> Bundle:
    return Bundle(
        incident=incident,
        vm=vm,
        name="web-1",
        host="host-a",
        boot="b",
        title="web-1 was killed",
        cause="killed by SIGKILL",
        captured_utc_ms=at,
        took_ms=12.5,
        fault_utc_ms=at - 100,
        files={"console.txt": 5},
        missing={"screenshot": "QEMU is gone"},
    )


class ArchiveContract:
    def make(self) -> Archive:
        raise NotImplementedError

    def test_a_bundle_is_kept_with_its_files(self) -> None:
        archive = self.make()
        folder = archive.open_bundle("vm-1", "web-1-3f2a")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "console.txt").write_text("panic")
        assert archive.bundles("vm-1") == [], "not before it is closed"
        assert archive.close_bundle(folder, bundle("web-1-3f2a")) == folder.name
        assert archive.bundles("vm-1") == [(folder, bundle("web-1-3f2a"))]
        assert archive.bundles("vm-2") == []

    def test_the_newest_comes_first_and_one_incident_may_have_two(self) -> None:
        archive = self.make()
        folders = [archive.open_bundle("vm-1", "web-1-3f2a") for _ in range(3)]
        assert len(set(folders)) == 3
        for at, folder in enumerate(folders):
            (folder / "console.txt").write_text("panic")
            archive.close_bundle(folder, bundle("web-1-3f2a", at=at))
        assert [path for path, _ in archive.bundles("vm-1")] == folders[::-1]

    def test_a_bundle_may_be_closed_again_when_more_has_come(self) -> None:
        archive = self.make()
        folder = archive.open_bundle("vm-1", "i")
        (folder / "console.txt").write_text("panic")
        archive.close_bundle(folder, bundle("i"))
        again = bundle("i", at=2_000)
        archive.close_bundle(folder, again)
        assert archive.bundles("vm-1") == [(folder, again)]
