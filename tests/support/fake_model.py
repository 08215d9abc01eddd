"""A model whose next token is a function of every token and position it was shown.

It keeps its cells like llama.cpp does (a cell has a position and a set of sequence ids), so any mix-up of cells, positions or
sequence ids by the engine turns into a wrong token or an error here. Tokens 0 to 255 are bytes; BOS and END follow.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.engine.model import CacheOp, CopyPrefix, DecodeResult, Drop, Load, Rows, Save, Trim
from service.engine.requests import (
    GenerationRequest,
    ModelInfo,
    RuntimeInfo,
    Sample,
    SamplingParams,
    ThreadCount,
    TokenChance,
    TokenProbabilities,
)
from service.errors import InvalidRequest

BOS, END = 256, 257
VOCABULARY = 258
LETTERS = b"abcdefghijklmnopqrstuvwxyz \n"
CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m.role not in ['system', 'user', 'assistant', 'tool'] %}"
    "{{ raise_exception('unknown role ' + m.role) }}{% endif %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def next_token(history: Sequence[int], *, end_every: int = 0) -> int:
    """The token after `history`; every `end_every`-th history (by its hash) ends the text."""
    digest = zlib.crc32(b",".join(b"%d:%d" % pair for pair in enumerate(history)))
    if end_every and digest % end_every == 0:
        return END
    return LETTERS[(digest >> 8) % len(LETTERS)]


def continuation(prompt: Sequence[int], length: int, *, end_every: int = 0) -> list[int]:
    """What the model alone would answer: at most `length` tokens, the end token included if it comes."""
    history = list(prompt)
    for _ in range(length):
        history.append(next_token(history, end_every=end_every))
        if history[-1] == END:
            break
    return history[len(prompt) :]


@dataclass(slots=True)
class Cell:
    """One token in the pool and the sequences that see it. `dropped`: out of a sliding window, so it is not there any more."""

    position: int
    token: int
    owners: set[int]
    dropped: bool = False


@dataclass
class FakeModel:
    """`pause` seconds a step; `hold` blocks decodes while it is set; `fails` says which decodes fail, `refuses` whose sampler
    cannot be made. With a `window` cells of one sequence only that are out of it are dropped at once (llama.cpp does so when it looks for a
    place)."""

    cells: int = 256
    sequences: int = 16
    batch: int = 64
    end_every: int = 0
    pause: float = 0.0
    keeps_partial: bool = True
    window: int = 0
    fails: Callable[[Sequence[Rows]], DecodeResult] = lambda groups: DecodeResult.OK
    refuses: Callable[[GenerationRequest], bool] = lambda request: False
    chat_template: str = CHAT_TEMPLATE
    tool_template: str = ""
    pool: list[Cell] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    decodes: int = 0
    rows: int = 0
    closed: bool = False
    threads: ThreadCount | None = None
    samplers: int = 0
    token_bytes: int = 1
    spare_bytes: int = 0
    saved: dict[int, list[int]] = field(default_factory=dict)
    fetched: int = 0
    logits: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(
            path="models/fake.gguf", description="fake", architecture="fake", quantization="F32", parameters=1000, size=4000,
            vocabulary=VOCABULARY, vocabulary_type=1, embedding=8, trained_context=self.cells, bos_token="<s>",
            eos_token="</s>", adds_bos=True, chat_template=self.chat_template, tool_template=self.tool_template,
        )  # fmt: skip

    @property
    def runtime(self) -> RuntimeInfo:
        return RuntimeInfo("b0-fake", "fake", 1, 1, self.cells, 0, 0)

    @property
    def windowed(self) -> bool:
        return self.window > 0

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        return [BOS] * add_special + list(text.encode())

    def piece(self, token: int, *, special: bool = True) -> bytes:
        if token < BOS:
            return bytes([token])
        return {BOS: b"<s>", END: b"</s>"}[token] if special else b""

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        return b"".join(self.piece(token) for token in tokens)

    def is_end(self, token: int) -> bool:
        return token == END

    def history(self, sequence: int) -> list[int]:
        """The tokens that `sequence` sees. Raises AssertionError if its positions are not 0, 1, 2 …"""
        seen = sorted((cell.position, cell.token) for cell in self.pool if sequence in cell.owners)
        assert [position for position, _ in seen] == list(range(len(seen))), f"holes in sequence {sequence}: {seen}"
        return [token for _, token in seen]

    def apply(self, operations: Sequence[CacheOp]) -> None:
        for operation in operations:
            if isinstance(operation, CopyPrefix):
                assert not self.history(operation.target), f"{operation} into a sequence that is not empty"
                assert operation.length <= len(self.history(operation.source)), f"{operation} of more than there is"
                for cell in self.pool:
                    if operation.source in cell.owners and cell.position < operation.length:
                        cell.owners.add(operation.target)
            elif isinstance(operation, Save | Load | Drop):
                self.shelve(operation)
            else:
                assert self.keeps_partial or operation.length == 0, "a partial trim of whole states"
                for cell in self.pool:
                    if cell.position >= operation.length:
                        cell.owners.discard(operation.sequence)
        self.pool = [cell for cell in self.pool if cell.owners]

    def shelve(self, operation: Save | Load | Drop) -> None:
        if isinstance(operation, Save):
            self.saved[operation.key] = self.history(operation.sequence)
        elif isinstance(operation, Drop):
            del self.saved[operation.key]
        else:
            self.fetched += 1
            assert not self.history(operation.sequence), f"{operation} into a sequence that is not empty"
            for position, token in enumerate(self.saved[operation.key]):
                self.pool.append(Cell(position, token, {operation.sequence}))
            assert sum(bool(cell.owners) for cell in self.pool) <= self.cells, f"{operation} without cells"

    def decode(self, groups: Sequence[Rows]) -> DecodeResult:
        self.gate.wait()
        time.sleep(self.pause)
        self.decodes += 1
        total = sum(len(group.tokens) for group in groups)
        assert 0 < total <= self.batch, f"{total} rows in a batch of {self.batch}"
        result = self.fails(groups)
        if result is DecodeResult.LOST:
            self.apply([Trim(group.sequence, 0) for group in groups])
            self.pool = self.pool if self.keeps_partial else []
        if result is not DecodeResult.OK:
            return result
        if len(self.pool) + total > self.cells:
            return DecodeResult.NO_CELLS
        self.rows += total
        for group in groups:
            assert group.start == len(self.history(group.sequence)), f"{group} does not continue its sequence"
            assert self.reaches(group.sequence, group.start), f"{group} needs tokens that are not there any more"
            for offset, token in enumerate(group.tokens):
                self.pool.append(Cell(group.start + offset, token, {group.sequence}))
        self._slide(groups)
        self.logits = [self.history(group.sequence) if group.wants_sample else [] for group in groups]
        return DecodeResult.OK

    def _slide(self, groups: Sequence[Rows]) -> None:
        ends = {group.sequence: group.start + len(group.tokens) for group in groups}
        for cell in self.pool if self.window else ():
            if len(cell.owners) == 1:
                (owner,) = cell.owners
                cell.dropped |= ends.get(owner, 0) - cell.position >= self.window

    def reaches(self, sequence: int, length: int) -> bool:
        needed = length - self.window + 1
        return not any(cell.dropped and sequence in cell.owners and cell.position >= needed for cell in self.pool)

    def set_threads(self, count: ThreadCount) -> None:
        self.threads = count

    def interrupt(self) -> None:
        self.gate.set()

    def check_sampling(self, params: SamplingParams) -> None:
        """What `refuses` refuses is found out later."""
        if params.top_k < -1:
            raise InvalidRequest(f"top_k must be -1 or more, not {params.top_k}", param="top_k")

    def open_sampler(self, request: GenerationRequest) -> FakeSampler:
        if self.refuses(request):
            raise InvalidRequest("these parameters cannot be taken", param="seed")
        self.samplers += 1
        return FakeSampler(self, request.probabilities)

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeSampler:
    """Takes the one token that the history gives."""

    model: FakeModel
    probabilities: int
    closed: bool = False

    def sample(self, row: int) -> Sample:
        assert not self.closed, "sampled after close"
        assert self.model.logits[row], f"no logits in row {row}"
        token = next_token(self.model.logits[row], end_every=self.model.end_every)
        piece = self.model.piece(token)
        chances = None
        if self.probabilities:
            chance = TokenChance(token, piece, -0.5)
            chances = TokenProbabilities(chance, (chance,) * self.probabilities)
        return Sample(token, piece, self.model.is_end(token), chances)

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True
        self.model.samplers -= 1
