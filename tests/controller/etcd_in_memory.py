"""The members of an etcd, answered as its gateway does it: one learner at most, as in 3.4."""

from typing import Any

from holdfast.adapters.drivers.etcd_members import EtcdMembers, MembersAway


class EtcdInMemory(EtcdMembers):
    def __init__(self, address: str) -> None:
        super().__init__((), None)
        self.is_away = False
        self._made = 0
        self._held: list[dict[str, Any]] = []
        self._add(f"https://{address}:2380", is_learner=False)

    @property
    def voters(self) -> list[str]:
        return [one["peerURLs"][0] for one in self._held if not one["isLearner"]]

    @property
    def learners(self) -> list[str]:
        return [one["peerURLs"][0] for one in self._held if one["isLearner"]]

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if self.is_away:
            raise MembersAway("nothing listens")
        match path.rpartition("/")[2]:
            case "add":
                if self.learners:
                    raise MembersAway("etcdserver: too many learner members in cluster")
                self._add(body["peerURLs"][0], is_learner=True)
            case "promote":
                self._one(body["ID"])["isLearner"] = False
            case "remove":
                self._held.remove(self._one(body["ID"]))
            case _:
                pass
        return {"members": self._held}

    def _add(self, url: str, *, is_learner: bool) -> None:
        self._made += 1
        self._held.append({"ID": str(self._made), "peerURLs": [url], "isLearner": is_learner})

    def _one(self, member_id: str) -> dict[str, Any]:
        for one in self._held:
            if one["ID"] == member_id:
                return one
        raise MembersAway("etcdserver: member not found")
