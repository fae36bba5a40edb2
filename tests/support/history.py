"""The history checker: what clients were told against what is there.

Each place (a to-do) is a register. It is absent at first; a write gives it a value that no other write gives; a
deletion makes it absent again, for good. A history is right when there is one order of its operations, each at some
moment between its start and its end, in which every read finds what was written last. For writes of distinct values that
can be decided by zones: P. B. Gibbons and E. Korach, "Testing Shared Memories", SIAM J. Comput. 26(4), 1997, section 4.

Every function returns sentences, one for each fault; none means that the history is right.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.support.intent_log import Operation

WRITES = ("write", "delete")


@dataclass(frozen=True, slots=True)
class _Zone:
    """The time that one value claims: from the first moment at which it must be there to the last one.

    A forward zone (first < last) belongs to its value alone; a value with a backward zone fits into any moment of it.
    """

    value: str | None
    low: float
    high: float
    forward: bool


def register_faults(operations: Iterable[Operation]) -> list[str]:
    """Acknowledged writes are there, refused ones are not, and each place had one value at a time."""
    by_place: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.kind in (*WRITES, "read"):
            by_place[operation.place].append(operation)
    return [fault for place, history in sorted(by_place.items()) for fault in _place_faults(place, history)]


def _place_faults(place: str, history: Sequence[Operation]) -> list[str]:
    faults: list[str] = []
    writers = {_written(o): o for o in history if o.kind in WRITES}
    reads = [o for o in history if o.kind == "read" and o.outcome == "done"]
    # Absence is what was before the first write, unless a deletion has made it.
    beginning = Operation(-1, "nobody", "write", place, None, -math.inf, -math.inf, "done")
    if None not in writers or writers[None].outcome == "refused":
        writers[None] = beginning
        zones_need_beginning = False
    else:
        zones_need_beginning = True

    clusters: dict[str | None, list[Operation]] = defaultdict(list)
    for read in reads:
        writer = writers.get(read.value)
        if writer is None:
            faults.append(f"{place}: {read.value!r} was read, and nobody wrote it")
        elif writer.outcome == "refused":
            faults.append(f"{place}: {read.value!r} was read, though its writer was refused")
        elif read.ended < writer.started:
            faults.append(f"{place}: {read.value!r} was read before it was written")
        else:
            clusters[read.value].append(read)
    for value, writer in writers.items():
        # An unknown write that nobody has seen may never have happened.
        if writer.outcome == "done" or (writer.outcome == "unknown" and value in clusters):
            clusters[value].append(writer)
    zones = [_zone(value, cluster) for value, cluster in clusters.items()]
    if zones_need_beginning:
        zones.append(_zone("(absent at first)", [beginning]))
    return faults + [
        f"{place}: the acknowledged value {_shown(inner.value)} was skipped over by {_shown(outer.value)}: lost, or out of order"
        for outer in zones
        for inner in zones
        if inner is not outer and _clash(outer, inner)
    ]


def _written(operation: Operation) -> str | None:
    return None if operation.kind == "delete" else operation.value


def _zone(value: str | None, cluster: Sequence[Operation]) -> _Zone:
    first_end = min(operation.ended for operation in cluster)
    last_start = max(operation.started for operation in cluster)
    forward = first_end < last_start
    return _Zone(value, min(first_end, last_start), max(first_end, last_start), forward)


def _clash(outer: _Zone, inner: _Zone) -> bool:
    if not outer.forward:
        return False
    if inner.forward:
        # Said once for each pair.
        return (
            outer.low < inner.high
            and inner.low < outer.high
            and (outer.low, id(outer)) < (inner.low, id(inner))
        )
    return outer.low < inner.low and inner.high < outer.high


def _shown(value: str | None) -> str:
    return "(absent)" if value is None else repr(value)


def once_faults(operations: Iterable[Operation], found: Iterable[str]) -> list[str]:
    """Each acknowledged `notify` has exactly one effect, a refused one none, an unknown one at most one.

    found: the values that are there, repeats included.
    """
    counts = Counter(found)
    faults: list[str] = []
    for operation in operations:
        if operation.kind != "notify":
            continue
        count = counts.pop(operation.value or "", 0)
        least, most = {"done": (1, 1), "refused": (0, 0), "unknown": (0, 1)}[operation.outcome]
        if not least <= count <= most:
            faults.append(
                f"{operation.place}: {operation.value!r} was {operation.outcome}, and is there {count} times"
            )
    return faults + [f"{value!r} is there, and nobody asked for it" for value in sorted(counts)]


def position_faults(stream: str, positions: Sequence[int]) -> list[str]:
    """1, 2, 3, … in this order, without a gap or a repeat."""
    for expected, found in enumerate(positions, start=1):
        if expected != found:
            return [f"{stream}: position {found} where {expected} should be"]
    return []


def same_counts_faults(what: str, expected: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """Two counts of the same things, by key; a key that is left out counts 0."""
    return [
        f"{what}: {key} is counted {found.get(key, 0)} times, and happened {expected.get(key, 0)} times"
        for key in sorted(expected.keys() | found.keys())
        if expected.get(key, 0) != found.get(key, 0)
    ]
