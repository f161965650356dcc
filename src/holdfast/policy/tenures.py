"""Who may run a VM: what greetings, tells and people's grants make of the store's record.

Neither the generation nor, within one, the revision ever falls. What is in doubt is held (no
boot) until a person protects the VM again.
"""

from msgspec import structs

from holdfast.facts.tenure import RESTORED, Tenure, TenureState, Wanted


def told(held: Tenure, news: Tenure) -> Tenure:
    """After an agent told of a change. What is older, or not its to say, changes nothing."""
    if (news.host, news.boot, news.generation) != (held.host, held.boot, held.generation):
        return held
    return held if news.revision < held.revision else news


def greeted(held: Tenure, boot: str, copy: Tenure | None) -> Tenure:
    """After the host that holds it greeted, in `boot` and with its durable copy, if it has one."""
    if not held.boot:
        return held  # A person must protect it again.
    if copy is not None and copy.generation > held.generation:
        return outranked(held, copy)
    if held.boot == RESTORED and not _is_of(held, copy):
        return forgotten(held)  # It may have been released since, and be another host's.
    newest = _newest(held, copy)
    if newest.boot == boot == held.boot:
        return newest
    highest = max(held.revision, newest.revision)
    return structs.replace(newest, boot=boot, revision=highest + 1)


def waits_for_both_ends(held: Tenure) -> bool:
    """Whether it was moving in the backup that the store came out of."""
    return held.boot == RESTORED and held.state is TenureState.MIGRATING


def still_moving(held: Tenure, boot: str, copy: Tenure | None) -> Tenure:
    """Both ends greeted, and neither knows of a newer generation: its host, in this boot, holds it
    as it did, and where it runs both are asked as for any move."""
    if not _is_of(held, copy):
        return forgotten(held)
    newest = _newest(held, copy)
    revision = max(held.revision, newest.revision) + 1
    return structs.replace(newest, boot=boot, state=TenureState.MIGRATING, revision=revision)


def in_newer_hands(held: Tenure, generation: int) -> Tenure:
    """One of its ends knows of a newer generation, or has forgotten what it knew."""
    known = max(held.generation, generation)
    return structs.replace(held, boot="", generation=known, revision=held.revision + 1)


def outranked(held: Tenure, copy: Tenure) -> Tenure:
    """After a host, this one or another, showed a copy of a higher generation: the store is an old
    one, and who was granted the VM since is not known. A grant will be above both."""
    if copy.generation <= held.generation:
        return held
    return structs.replace(held, boot="", generation=copy.generation, revision=held.revision + 1)


def _newest(held: Tenure, copy: Tenure | None) -> Tenure:
    """The higher revision; of two that are equal and differ, the one that wants it stopped."""
    if copy is None or not _is_of(held, copy):
        return held
    if copy.revision != held.revision:
        return max(held, copy, key=lambda one: one.revision)
    return copy if copy.wanted is Wanted.STOPPED else held


def _is_of(held: Tenure, copy: Tenure | None) -> bool:
    """Whether the host's copy is of this tenure, be it older or newer."""
    return copy is not None and (copy.host, copy.generation) == (held.host, held.generation)


def moved_away(held: Tenure) -> Tenure:
    """While another host says that it runs there, it is started nowhere: both are asked."""
    if not held.boot:
        return held
    return structs.replace(held, state=TenureState.MIGRATING, revision=held.revision + 1)


def restored(held: Tenure) -> Tenure:
    """As a backup has it. The revision stays: the host's copy, if it is of the same, is newer."""
    return structs.replace(held, boot=RESTORED) if held.boot else held


def forgotten(held: Tenure) -> Tenure:
    """After its agent forgot what it did: held for a person."""
    if not held.boot:
        return held
    return structs.replace(held, boot="", revision=held.revision + 1)


def granted(held: Tenure | None, *, vm: str, host: str, boot: str, known: int) -> Tenure:
    """After a person protected it on this host. `known` is the highest generation of which any
    other record tells (released, or the host's copy): the grant is above it.

    What is wanted on the same host stays: whether the VM runs is for its agent to see.
    """
    is_known = held is not None and held.generation >= known
    if held is not None and is_known and held.host == host:
        if held.boot == boot:
            return held
        return structs.replace(held, boot=boot, state=TenureState.HELD, revision=held.revision + 1)
    return Tenure(
        vm=vm,
        generation=max(known, held.generation if held else 0) + 1,
        host=host,
        boot=boot,
        state=TenureState.HELD,
        wanted=held.wanted if held is not None and held.host == host else Wanted.RUNNING,
        revision=held.revision + 1 if held else 0,
    )
