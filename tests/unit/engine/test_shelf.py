"""What lies in the host's memory, what goes for it, and what paused requests are promised."""

from __future__ import annotations

from array import array

from service.engine.holder import Match
from service.engine.kv_cache import KvCache
from service.engine.model import CacheOp, Drop, Load, Save, Trim
from service.engine.shelf import Shelf
from tests.support.builders import make_shelf
from tests.unit.engine.test_copying import copying
from tests.unit.engine.test_kv_cache import fill, tokens


def saved(shelf: Shelf, text: str, wanted_by: str = "") -> tuple[int | None, list[int]]:
    """The key that a text got, and the keys that went for it."""
    operations = shelf.save(0, tokens(text), "", wanted_by)
    assert operations is not None
    keys = [one.key for one in operations if isinstance(one, Save)]
    return keys[0] if keys else None, [one.key for one in operations if isinstance(one, Drop)]


def copies(cache: KvCache) -> list[CacheOp]:
    return [one for one in cache.take_operations() if isinstance(one, Save | Load)]


def test_the_shelf_is_bounded_and_the_oldest_goes() -> None:
    shelf = make_shelf(200)
    first, _ = saved(shelf, "1" * 90)
    second, _ = saved(shelf, "2" * 90)
    assert first is not None
    shelf.fetch(first)
    third, gone = saved(shelf, "3" * 90)
    assert third is not None
    assert gone == [second]
    assert shelf.tokens == 180
    assert saved(shelf, "4" * 201) == (None, [])


def test_a_longer_copy_replaces_the_beginning_it_has() -> None:
    shelf = make_shelf(1000)
    first, _ = saved(shelf, "a" * 70)
    assert saved(shelf, "a" * 60 + "b" * 10)[1] == []
    assert saved(shelf, "a" * 90)[1] == [first]
    assert saved(shelf, "a" * 80) == (None, [])


def test_what_a_paused_request_wants_stays_until_it_goes_on() -> None:
    shelf = make_shelf(200)
    wanted, _ = saved(shelf, "w" * 90, wanted_by="paused")
    other, _ = saved(shelf, "o" * 90)
    assert saved(shelf, "x" * 150) == (None, []), "nothing goes for what does not fit beside it"
    assert saved(shelf, "y" * 90)[1] == [other]
    shelf.settle("paused")
    assert saved(shelf, "z" * 90)[1] == [wanted]


def test_what_lies_here_already_is_wanted_from_then_on() -> None:
    shelf = make_shelf(100)
    saved(shelf, "w" * 90)
    assert saved(shelf, "w" * 80, wanted_by="paused") == (None, [])
    assert saved(shelf, "x" * 90) == (None, [])


def test_a_paused_request_s_prefix_is_saved_however_short_and_dear() -> None:
    shelf = make_shelf(1000, copying(computing=1e-6, saving=1.0, fetching=1.0))
    assert saved(shelf, "x" * 500) == (None, [])
    assert saved(shelf, "y" * 5, wanted_by="paused")[0] is not None
    assert shelf.find(tokens("y" * 5), "", 0) is None
    found = shelf.find(tokens("y" * 5), "", 4, resumed=True)
    assert found is not None
    assert found[1] == 5


def test_a_paused_request_s_prefix_is_evicted_last() -> None:
    cache = KvCache(40, 4, shelf=make_shelf(0))
    paused, other = fill(cache, "paused first"), fill(cache, "ended later")
    cache.release(paused, wanted_by="p")
    cache.release(other)
    cache.take_operations()
    cache.make_room(20)
    assert cache.take_operations() == (Trim(other, 8),)
    cache.settle("p")
    cache.make_room(24)
    assert cache.take_operations() == (Trim(paused, 8),)


def test_beside_running_texts_only_what_the_step_has_time_for_is_saved() -> None:
    prices = copying(computing=0.01, saving=0.001, fetching=0.001)
    cache = KvCache(400, 4, shelf=make_shelf(1000, prices))
    for letter in "ab":
        cache.release(fill(cache, letter * 100))
    cache.take_operations()
    prices.begin(0.15)
    cache.make_room(400)
    assert copies(cache) == [Save(0, 1, 100)], "the second would take it over the time"
    assert prices.planned <= 0.15


def test_what_there_was_no_time_for_is_saved_later_as_far_as_it_is_left() -> None:
    prices = copying(computing=0.01, saving=0.001, fetching=0.001)
    cache = KvCache(200, 4, shelf=make_shelf(1000, prices))
    cache.release(fill(cache, "a" * 200))
    cache.take_operations()
    prices.begin(0.15)
    cache.make_room(90)
    assert cache.take_operations() == (Trim(0, 110),)
    prices.begin(0.15)
    cache.make_room(100)
    assert copies(cache) == [Save(0, 1, 110)]


def test_a_fetch_waits_for_a_step_with_the_time_and_is_not_made_where_none_has_it() -> None:
    prices = copying(computing=0.01, saving=0.001, fetching=0.001)
    cache = KvCache(400, 4, shelf=make_shelf(1000, prices))
    cache.release(fill(cache, "a" * 100))
    cache.make_room(400)
    cache.take_operations()
    prices.begin(0.15)
    prices.plan_saving(100)
    match = cache.match(tokens("a" * 101), "")
    assert match == Match(-1, 100, 1, 100)
    assert cache.claim(match, "") is None
    assert copies(cache) == []
    prices.begin(0.15)
    assert cache.claim(match, "") is not None
    assert len(copies(cache)) == 1
    prices.begin(0.05)
    assert cache.match(array("i", [*tokens("a" * 101), 0]), "").shelved is None


def test_a_step_s_time_goes_to_the_fetch_before_the_saves_that_make_room_for_it() -> None:
    prices = copying(computing=0.01, saving=0.001, fetching=0.001)
    cache = KvCache(150, 4, shelf=make_shelf(1000, prices))
    cache.release(fill(cache, "a" * 100))
    cache.make_room(150)
    cache.release(fill(cache, "b" * 100))
    cache.take_operations()
    prices.begin(0.15)
    assert cache.claim(cache.match(tokens("a" * 101), ""), "") is not None
    assert copies(cache) == [Load(1, 1, 100)]
