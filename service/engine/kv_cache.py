"""Who holds which tokens in which sequence of the model: list arithmetic, no native call.

Theory of operation
-------------------
The model has one pool of cells. A cell holds one token at one position and is seen by one or more sequences. A *holder* is a
sequence id in use: the tokens it sees, from position 0 on, and for each the cell that it stands in.

    holder      who                              its cells
    active      a running request                grow with each step, never evicted
    idle        a prefix that a request left     evicted from the end, least recently used first

Rule 1: cells are shared by prefixes only (`claim` copies [0, n) of one holder to another). So in any holder the shared cells come
        first and its own come last, and cutting a tail never opens a hole in another holder.
Rule 2: what a step will need is *reserved* while it is planned and becomes cells when it is committed. A plan that was not
        carried out leaves no trace but its evictions.
Rule 3: every change that the model must follow is an operation in `take_operations`, in the order in which it must be applied, before
        the rows of the same step.

Free + cells in use = pool; `check_integrity` counts it out.

Two kinds of models cannot share every prefix that the books have. A *whole state* (`partial` False) goes over to the one request that
goes on where it ends. A *sliding window* may have lost the tokens before some point of a holder: the model knows (`reaches`).
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from service.engine.holder import NO_MATCH, Holder, Match, begins
from service.engine.model import CacheOp, CopyPrefix, Load, Trim
from service.engine.prefixes import common_prefix
from service.engine.shelf import Shelf


class KvCache:
    """The pool's book-keeping. `partial` is False where a sequence can only be kept whole (recurrent models); `reaches(slot, length)`
    is asked before a prefix is shared (engine/model.py). `shares_running`: of a request that goes on any prefix can be shared, neither
    whole states nor a sliding window (`windowed`) prevent it."""

    def __init__(
        self,
        cells: int,
        sequences: int,
        *,
        partial: bool = True,
        windowed: bool = False,
        shelf: Shelf | None = None,
        reaches: Callable[[int, int], bool] = lambda _slot, _length: True,
    ) -> None:
        self.total = cells
        self._shelf = shelf if partial else None
        self.partial = partial
        self.shares_running = partial and not windowed
        self._reaches = reaches
        self._fresh: set[int] = set()
        self._holders: dict[int, Holder] = {}
        self._free_slots = list(range(sequences - 1, -1, -1))
        self._free_cells = list(range(cells - 1, -1, -1))
        self._owners = [0] * cells
        self._reserved = 0
        self._uses = 0
        self._operations: list[CacheOp] = []
        self._idle_cells: int | None = 0
        self.evicted = 0

    # Questions: nothing changes.

    @property
    def free(self) -> int:
        """Cells that nobody holds and no plan has reserved."""
        return len(self._free_cells) - self._reserved

    @property
    def used(self) -> int:
        return self.total - len(self._free_cells)

    def idle_cells(self) -> int:
        """Cells that only idle holders see: what eviction could free. Counted anew only after a holder came or went."""
        if self._idle_cells is None:
            active = {cell for holder in self._holders.values() if holder.active for cell in holder.cells}
            self._idle_cells = self.used - len(active)
        return self._idle_cells

    def match(self, tokens: array[int], salt: str, *, fetch: bool = True, resumed: bool = False) -> Match:
        """The holder that shares most of the beginning of `tokens`; the last token never counts, for its logits are wanted.

        With `fetch` what lies on the shelf counts too; a `resumed` text takes whatever it finds there."""
        best = NO_MATCH
        wanted = tokens[:-1]
        for holder in self._holders.values():
            if holder.salt == salt and (length := self._usable(holder, wanted, best.length)) > best.length:
                best = Match(holder.slot, length)
        shelf = self._shelf if fetch else None
        if shelf is not None and (found := shelf.find(wanted, salt, best.length, resumed=resumed)) is not None:
            prefix, length = found
            return Match(-1, length, prefix.key, len(prefix.tokens))
        return best

    def _usable(self, holder: Holder, wanted: array[int], beaten: int) -> int:
        if not self.partial:
            whole = not holder.active and holder.tokens == wanted[: len(holder.tokens)]
            return len(holder.tokens) if whole else 0
        if holder.tokens[: beaten + 1] != wanted[: beaten + 1]:
            return 0
        length = common_prefix(holder.tokens, wanted)
        return length if length > beaten and self._shares(holder, length) else 0

    def _shares(self, holder: Holder, length: int) -> bool:
        """Whether the model still has what a sequence needs to go on after the first `length` tokens of `holder`."""
        if holder.slot in self._fresh:  # the model has not seen it yet
            return length == len(holder.tokens)
        return self._reaches(holder.slot, length)

    def wanted_by(self) -> set[str]:
        """The paused requests that something is kept for."""
        shelved = self._shelf.wanted_by() if self._shelf is not None else set()
        return shelved | {holder.wanted_by for holder in self._holders.values() if holder.wanted_by}

    def would_fit(self, match: Match, cells: int) -> bool:
        """Whether `cells` could be had, by eviction too, without losing what `match` found."""
        if match.shelved is not None:
            return cells + match.cells <= self.free + self.idle_cells()
        return cells <= self.free or cells <= self.free + self.idle_cells() - match.length

    # Commands.

    def claim(self, match: Match, salt: str) -> tuple[int, int] | None:
        """A sequence for a request that begins with `match`: (slot, tokens reused), or None when all ids are active, or when this step
        has no time to fetch it.

        An idle holder that matches whole is taken over; of any other the prefix is shared.
        """
        self._uses += 1
        self._idle_cells = None
        if match.shelved is not None:
            return self._fetch(match, match.shelved, salt)
        source = self._holders.get(match.slot)
        if source is not None and not source.active and (match.length == len(source.tokens) or self._last_idle(source)):
            self._cut(source, match.length)
            source.active, source.used_at, source.saved, source.wanted_by = True, self._uses, False, ""
            return source.slot, match.length
        slot = self._take_slot(source)
        if slot is None:
            return None
        holder = Holder(slot, salt, array("i"), used_at=self._uses)
        self._holders[slot] = holder
        if source is not None:
            self._share(source, holder, match.length)
        return slot, match.length

    def reserve(self, cells: int) -> bool:
        """Sets cells aside for the step that is being planned; evicts idle tails if it must. False: not to be had."""
        if self.free < cells and not self.make_room(cells):
            return False
        self._reserved += cells
        return True

    def cancel_reservations(self) -> None:
        """The plan was not carried out."""
        self._reserved = 0

    def make_room(self, cells: int, fetched: int | None = None) -> bool:
        """Evicts idle tails, least recently used first, until `cells` are free. Evicts what it can even if that is too little."""
        while self.free < cells and (holder := self._oldest_idle()) is not None:
            self._save(holder, fetched)
            own = self._own_cells(holder, cells - self.free) if self.partial else 0
            before = len(self._free_cells)
            self._cut(holder, len(holder.tokens) - own)
            if own == 0 or not holder.tokens:
                self._forget(holder)
            self.evicted += len(self._free_cells) - before
        return self.free >= cells

    def extend(self, slot: int, tokens: Sequence[int]) -> None:
        """`tokens` have been computed at the end of `slot`; their cells were reserved."""
        holder = self._holders[slot]
        for token in tokens:
            cell = self._free_cells.pop()
            self._owners[cell] = 1
            holder.tokens.append(token)
            holder.cells.append(cell)
        self._reserved -= len(tokens)

    def release(self, slot: int, *, keep: bool = True, wanted_by: str = "") -> None:
        """The request is done with `slot`. What it computed stays as an idle prefix unless it is in another one already.

        `wanted_by` names the request if it has only paused, until `settle`."""
        holder = self._holders[slot]
        self._uses += 1
        self._idle_cells = None
        holder.active, holder.used_at, holder.wanted_by = False, self._uses, wanted_by
        if not keep and not holder.tokens:  # rows that were computed for it may never have reached the books
            self._operations.append(Trim(slot, 0))
        if not keep or not holder.tokens or (self.partial and self._is_covered(holder)):
            self._forget(holder)
        elif self.partial:
            for other in [idle for idle in self._idle() if idle is not holder and self._covers(holder, idle)]:
                self._forget(other)

    def settle(self, request_id: str) -> None:
        """A paused request goes on, or never will: nothing is wanted by it any more."""
        for holder in self._holders.values():
            if holder.wanted_by == request_id:
                holder.wanted_by = ""
        if self._shelf is not None:
            self._shelf.settle(request_id)

    def drop_idle(self) -> None:
        """Forgets every idle prefix."""
        for holder in list(self._idle()):
            self._forget(holder)

    def take_operations(self) -> tuple[CacheOp, ...]:
        """What the model has to follow since the last call."""
        operations, self._operations = tuple(self._operations), []
        self._fresh.clear()
        return operations

    def check_integrity(self) -> None:
        """Counts everything out. Raises AssertionError with what differs."""
        seen = Counter(cell for holder in self._holders.values() for cell in holder.cells)
        for cell, owners in enumerate(self._owners):
            if seen[cell] != owners:
                raise AssertionError(f"cell {cell} counts {owners} owners, {seen[cell]} hold it")
        if len(seen) + len(self._free_cells) != self.total or set(self._free_cells) & set(seen):
            raise AssertionError(f"{len(seen)} used + {len(self._free_cells)} free cells are not {self.total}")
        if set(self._free_slots) & set(self._holders):
            raise AssertionError("a sequence id is free and held")
        if self._idle_cells is not None:
            known, self._idle_cells = self._idle_cells, None
            if known != self.idle_cells():
                raise AssertionError(f"{known} idle cells counted, {self.idle_cells()} there")
        for holder in self._holders.values():
            shared = [self._owners[cell] > 1 for cell in holder.cells]
            if shared != sorted(shared, reverse=True) or len(holder.cells) != len(holder.tokens):
                raise AssertionError(f"holder {holder.slot} has own cells before shared ones")
        if self._shelf is not None:
            self._shelf.check_integrity()

    # The parts.

    def _fetch(self, match: Match, key: int, salt: str) -> tuple[int, int] | None:
        """A sequence with what lies on the shelf, cut to what matches. Without cells for it the request starts from nothing."""
        tokens = self._shelf.fetch(key) if self._shelf is not None else None
        slot = self._take_slot(None, fetched=key) if tokens is not None else None
        if slot is None or tokens is None:
            return None
        holder = Holder(slot, salt, array("i"), used_at=self._uses)
        self._holders[slot] = holder
        if not self.make_room(len(tokens), fetched=key):
            return slot, 0
        self._operations.append(Load(key, slot, len(tokens)))
        self._reserved += len(tokens)
        self.extend(slot, tokens)
        self._cut(holder, match.length)
        return slot, match.length

    def _save(self, holder: Holder, fetched: int | None = None) -> None:
        """An idle prefix is about to lose cells: a copy goes to the shelf, once. Without time for it now, what is left may go later."""
        if self._shelf is None or holder.saved:
            return
        operations = self._shelf.save(holder.slot, holder.tokens, holder.salt, holder.wanted_by, kept=fetched)
        holder.saved = operations is not None
        self._operations += operations or ()

    def _idle(self) -> Iterator[Holder]:
        return (holder for holder in self._holders.values() if not holder.active)

    def _oldest_idle(self, spared: Holder | None = None) -> Holder | None:
        """The one to evict from: those that paused requests go on from come last."""
        idle = (holder for holder in self._idle() if holder is not spared)
        return min(idle, key=lambda holder: (bool(holder.wanted_by), holder.used_at), default=None)

    def _last_idle(self, holder: Holder) -> bool:
        """No sequence id could be had without this one's: it is taken over although its tail is lost."""
        return not self._free_slots and self._oldest_idle(spared=holder) is None and self.partial

    def _take_slot(self, spared: Holder | None, fetched: int | None = None) -> int | None:
        if not self._free_slots and (oldest := self._oldest_idle(spared)) is not None:
            self._save(oldest, fetched)
            self._forget(oldest)
        return self._free_slots.pop() if self._free_slots else None

    def _own_cells(self, holder: Holder, at_most: int) -> int:
        """How many of the last cells nobody else sees, up to `at_most`."""
        own = 0
        for cell in islice(reversed(holder.cells), at_most):
            if self._owners[cell] > 1:
                break
            own += 1
        return own

    def _share(self, source: Holder, target: Holder, length: int) -> None:
        target.tokens = source.tokens[:length]
        target.cells = source.cells[:length]
        for cell in target.cells:
            self._owners[cell] += 1
        source.used_at = self._uses
        self._fresh.add(target.slot)
        self._operations.append(CopyPrefix(source.slot, target.slot, length))

    def _cut(self, holder: Holder, length: int) -> None:
        if length == len(holder.tokens):
            return
        before = len(self._free_cells)
        for cell in holder.cells[length:]:
            self._owners[cell] -= 1
            if self._owners[cell] == 0:
                self._free_cells.append(cell)
        if not holder.active and self._idle_cells is not None:
            self._idle_cells -= len(self._free_cells) - before
        del holder.cells[length:], holder.tokens[length:]
        self._operations.append(Trim(holder.slot, length))

    def _forget(self, holder: Holder) -> None:
        self._cut(holder, 0)
        del self._holders[holder.slot]
        self._fresh.discard(holder.slot)
        self._free_slots.append(holder.slot)

    def _is_covered(self, holder: Holder) -> bool:
        return any(other is not holder and self._covers(other, holder) for other in self._holders.values())

    def _covers(self, longer: Holder, shorter: Holder) -> bool:
        """Whether all of `shorter` can be had from `longer`."""
        return begins(longer, shorter) and self._shares(longer, len(shorter.tokens))
