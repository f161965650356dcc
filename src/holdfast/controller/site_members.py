"""Joining put together: what the promises hold of a host, and what leaving ends."""

from collections.abc import Awaitable, Callable, Mapping

from holdfast.adapters.drivers.certificates import Certificates
from holdfast.adapters.drivers.etcd_members import EtcdMembers
from holdfast.controller.agents import Agents
from holdfast.controller.joining import Joining
from holdfast.controller.leadership import Leadership
from holdfast.controller.promises import Promises
from holdfast.controller.questions import Questions
from holdfast.controller.registry import NotLeading, Puts, Registry
from holdfast.controller.site_questions import SiteQuestions
from holdfast.facts.settings import Settings
from holdfast.policy import proofs
from holdfast.ports.answers import AWAY, Unanswerable
from holdfast.ports.store import Store


def make_joining(
    *,
    settings: Settings,
    certificates: Certificates,
    store: Store,
    agents: Agents,
    promises: Promises,
    registry: Registry,
    leadership: Leadership,
    questions: Questions,
    host_left: Callable[[str], None],
    end_words: Callable[[Mapping[str, str]], Awaitable[None]],
) -> Joining:
    async def forget_host(host: str) -> None:
        """Raises NotLeading, StoreAway."""
        if leadership.term is None:
            raise NotLeading(f"this controller does not lead: {leadership.reason}")
        await registry.change(gone_with(host))

    def gone_with(host: str) -> Callable[[], Puts]:
        """Also what its BMC was told in trust. A proof of its death stays for as long as a VM that
        it held may need it."""

        def wanted() -> Puts:
            is_needed = bool(promises.of_host(host))
            kinds = ["agents", "fencing", "rehearsals", *([] if is_needed else ["fences"])]
            return {f"{kind}/{host}": None for kind in kinds}

        return wanted

    def stranded_vms(host: str) -> list[str]:
        if not registry.is_loaded:
            text = "this controller has not read yet which VMs the host holds"
            raise Unanswerable(text, "try again in a moment, or at another controller", AWAY)
        proof = proofs.proof_of(registry.fence(host))
        held = promises.of_host(host)
        return [one.name for one in held if proof is None or not proofs.covers(proof, one.tenure)]

    joining = Joining(
        settings=settings,
        certificates=certificates,
        store=store,
        agents=agents,
        reach_store=lambda endpoints: EtcdMembers(endpoints, certificates.store_context()),
        bound_vms=lambda host: [one.name for one in promises.of_host(host)],
        is_armed=lambda host: registry.lease(host) is not None,
        stranded_vms=stranded_vms,
        forget_host=forget_host,
        host_left=host_left,
        end_words=end_words,
    )
    questions.add(SiteQuestions(joining).handlers())
    return joining
