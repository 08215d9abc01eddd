"""What the servers are asked. Each workload is one coroutine that talks to one fresh server; see README.md for the reasons."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from time import perf_counter

from bench.answer import Answer
from bench.client import Ask, Client, Messages
from bench.prompts import prompt, words


@dataclass(frozen=True, slots=True)
class Plan:
    """The same for both sides of a pair: the seed of the prompts, and how much there is to do."""

    seed: str
    quick: bool
    seconds: float

    def random(self, place: object) -> Random:
        """A generator of its own for each client, so that their order changes no text."""
        return Random(f"{self.seed}/{place}")


@dataclass(slots=True)
class Outcome:
    """What came back. `watched` are the streams whose gaps count; `more` are figures that only this workload has."""

    answers: list[Answer] = field(default_factory=list)
    watched: list[Answer] | None = None
    more: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


Run = Callable[[Client, Plan], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Workload:
    """`cells` and `whole_pool` are options of both servers (see `bench.servers.Options`)."""

    name: str
    text: str
    run: Run
    cells: int = 8192
    whole_pool: bool = False


async def unshared(client: Client, plan: Plan) -> Outcome:
    """W1: eight clients, each its own prompts, one after the other."""
    return await in_turn(client, plan, clients=8, rounds=1 if plan.quick else 2)


async def one_client(client: Client, plan: Plan) -> Outcome:
    """W1s."""
    return await in_turn(client, plan, clients=1, rounds=2 if plan.quick else 4)


async def in_turn(client: Client, plan: Plan, *, clients: int, rounds: int) -> Outcome:
    async def one(place: int) -> list[Answer]:
        random = plan.random(place)
        return [await client.ask(Ask(128, prompt(random, 60, 200))) for _ in range(rounds)]

    answers = await asyncio.gather(*(one(place) for place in range(clients)))
    return Outcome([answer for several in answers for answer in several])


async def shared_prefix(client: Client, plan: Plan) -> Outcome:
    """W2: eight clients with one system prompt arrive together; then eight more."""
    system = words(plan.random("system"), 420)
    outcome = Outcome()
    for wave in range(2):
        asks = [Ask(48, f"{system}\n\n{words(plan.random((wave, place)), 20)}") for place in range(8)]
        outcome.answers += await asyncio.gather(*(client.ask(ask) for ask in asks))
    return outcome


async def long_prompts(client: Client, plan: Plan) -> Outcome:
    """W3: long prompts arrive while four streams run, at fixed places of the streams, not at fixed times."""
    tokens = 128 if plan.quick else 256
    places = (0.25,) if plan.quick else (0.125, 0.5)
    streams = [await client.open(Ask(tokens, prompt(plan.random(place), 40, 60))) for place in range(4)]

    async def one(place: float) -> Answer:
        await streams[0].reach(int(tokens * place))
        return await client.ask(Ask(32, words(plan.random(f"long {place}"), 1200)))

    long = asyncio.gather(*(one(place) for place in places))
    watched = await asyncio.gather(*(client.finish(stream) for stream in streams))
    return Outcome([*watched, *await long], watched=watched)


async def small_pool(client: Client, plan: Plan) -> Outcome:
    """W4: eight texts that together need four times the cells. Then the same again one by one, to compare the texts."""
    asks = [Ask(400, prompt(plan.random(place), 15, 25)) for place in range(8)]
    started = perf_counter()
    answers = await asyncio.gather(*(client.ask(ask) for ask in asks))
    seconds = perf_counter() - started
    ended = [(ask, answer) for ask, answer in zip(asks, answers, strict=True) if answer.well]
    compared = ended[:2] if plan.quick else ended
    alone = [await client.ask(Ask(ask.tokens, ask.prompt, use_cache=False)) for ask, _ in compared]
    equal = sum(answer.text == other.text for (_, answer), other in zip(compared, alone, strict=True))
    return Outcome(answers, more={"texts compared": len(compared), "texts equal": equal}, seconds=seconds)


async def crowd(client: Client, plan: Plan) -> Outcome:
    """W5: 64 clients on eight places; half of them stay, half of them vanish in the middle of a stream, again and again."""
    started = perf_counter()

    async def stays(place: int) -> list[Answer]:
        random, answers = plan.random(place), []
        while perf_counter() < started + plan.seconds:
            answers.append(await client.ask(Ask(64, prompt(random, 40, 80))))
        return answers

    async def vanishes(place: int) -> None:
        random = plan.random(place)
        while True:
            stream = await client.open(Ask(64, prompt(random, 40, 80)))
            try:
                await stream.reach(random.randint(2, 40))
            finally:
                stream.vanish()

    leaving = asyncio.gather(*map(vanishes, range(32, 64)))
    staying = asyncio.gather(*map(stays, range(32)))
    await asyncio.sleep(plan.seconds)
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    answers = [answer for several in await staying for answer in several]
    seconds = perf_counter() - started
    return Outcome(answers, more={"seconds until places are free": await freed_seconds(client, plan)}, seconds=seconds)


async def freed_seconds(client: Client, plan: Plan) -> float:
    """How long eight places stay taken after all their clients have gone."""
    streams = [await client.open(Ask(512, words(plan.random(f"gone {place}"), 50))) for place in range(8)]
    for stream in streams:
        await stream.reach(4)
    for stream in streams:
        stream.vanish()
    gone = perf_counter()
    while True:
        if not (await client.metrics())["llamacpp:requests_processing"]:
            return perf_counter() - gone
        await asyncio.sleep(0.005)


async def chats(client: Client, plan: Plan) -> Outcome:
    """W6: eight chats of six turns; each turn sends all of the chat so far, with the server's own answers."""

    async def one(place: int) -> list[Answer]:
        random, answers = plan.random(place), []
        messages: Messages = ()
        for _ in range(3 if plan.quick else 6):
            messages += (("user", prompt(random, 20, 40)),)
            answers.append(await client.ask(Ask(48, messages=messages)))
            messages += (("assistant", answers[-1].text),)
        return answers

    return Outcome([answer for several in await asyncio.gather(*map(one, range(8))) for answer in several])


WORKLOADS = (
    Workload("W1", "8 clients, unshared prompts of 60-200 words, 128 tokens out", unshared),
    Workload("W1s", "one client, prompts of 60-200 words, 128 tokens out", one_client),
    Workload("W2", "8 clients share a system prompt of 420 words and arrive together, twice", shared_prefix),
    Workload("W3", "4 streams run while prompts of 1,200 words arrive", long_prompts, cells=16384),
    Workload("W4", "8 clients x 400 tokens in 1,024 cells", small_pool, cells=1024, whole_pool=True),
    Workload("W5", "64 clients on 8 places, half of them vanish mid-stream", crowd),
    Workload("W6", "8 chats of 6 turns", chats, cells=16384),
)


async def warm(client: Client, plan: Plan) -> None:
    """One request before the clock runs: what a server does only once is not what is compared."""
    await client.ask(Ask(8, words(plan.random("warm"), 30)))


def chosen(names: Sequence[str]) -> list[Workload]:
    """The workloads of these names, in the order of the table; an unknown name is left to the caller's own check."""
    return [workload for workload in WORKLOADS if workload.name in names]
