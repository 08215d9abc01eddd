"""Waiting for a prefix that another sequence is computing right now, instead of computing it again. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Series

from service.engine.holder import Match
from service.engine.prefixes import common_prefix
from service.engine.sequence import Sequence

WORTH_WAITING = 16
"""Tokens that the other one must be going to compute for us, beyond what the cache has."""


def is_led(sequence: Sequence) -> bool:
    """Whether what it waits for is still being computed. A leader that went away or paused leads no more."""
    leader = sequence.leader
    return leader is not None and leader.slot is not None and leader.computed < sequence.join_at


def follow(sequence: Sequence, match: Match, running: Series[Sequence]) -> bool:
    """Looks for a leader among `running`: one that is about to compute tokens that `sequence` would compute too.

    It must not be behind what `match` found in the cache: then it has fewer of these rows left than `sequence` would have. As it is
    served as `sequence` would be (`in_line`), they are computed no later than by `sequence` alone. Of several the one with the longest
    common beginning leads.
    """
    sequence.leader = None
    if not sequence.request.reuse_cache:
        return False
    worthwhile = match.length + WORTH_WAITING
    for leader in running:
        if leader.request.salt != sequence.request.salt or leader.computed < match.length:
            continue
        common = min(common_prefix(leader.tokens, sequence.tokens), len(sequence.tokens) - 1)
        if common >= worthwhile and leader.computed < common:
            sequence.leader, sequence.join_at, worthwhile = leader, common, common + 1
    return sequence.leader is not None


def in_line(prompts: Iterable[Sequence], waiting: Iterable[Sequence]) -> list[tuple[Sequence, int]]:
    """`prompts` in the order in which they are served, each with the rows after which somebody can go on.

    A leader stands where the first of its followers would stand, and is as short as what the nearest of them waits for.
    """
    served = {sequence.request.id: (sequence.rank, sequence.pending, sequence) for sequence in prompts}
    for sequence in waiting:
        leader = sequence.leader
        if leader is not None and is_led(sequence) and leader.request.id in served:
            rank, rows, _ = served[leader.request.id]
            served[leader.request.id] = (
                min(rank, sequence.rank),
                min(rows, sequence.join_at - leader.computed),
                leader,
            )
    return [(sequence, rows) for _, rows, sequence in sorted(served.values(), key=lambda entry: entry[0])]
