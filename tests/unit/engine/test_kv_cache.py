from __future__ import annotations

from array import array

import pytest

from service.engine.holder import NO_MATCH, Match
from service.engine.kv_cache import KvCache
from service.engine.model import CopyPrefix, Drop, Load, Save, Trim
from service.engine.prefixes import common_prefix
from tests.support.builders import make_shelf


def tokens(text: str) -> array[int]:
    return array("i", list(text.encode()))


def fill(cache: KvCache, text: str, salt: str = "") -> int:
    """Runs a request of these tokens up to its end; it is active after."""
    claimed = cache.claim(cache.match(tokens(text), salt), salt)
    assert claimed is not None
    slot, reused = claimed
    rest = tokens(text)[reused:]
    assert cache.reserve(len(rest))
    cache.extend(slot, rest)
    cache.check_integrity()
    return slot


@pytest.mark.parametrize(
    ("left", "right", "length"),
    [("", "", 0), ("abc", "abd", 2), ("abc", "abc", 3), ("x", "abc", 0), ("abcdef", "ab", 2)],
)
def test_common_prefix(left: str, right: str, length: int) -> None:
    assert common_prefix(tokens(left), tokens(right)) == length


def test_an_ended_request_leaves_its_prefix_to_the_next() -> None:
    cache = KvCache(100, 4)
    slot = fill(cache, "hello world")
    cache.release(slot)
    assert cache.match(tokens("hello there"), "").length == 6
    assert cache.used == 11


def test_what_a_window_has_lost_is_not_shared() -> None:
    cache = KvCache(100, 4, reaches=lambda _slot, length: length >= 8)
    cache.release(fill(cache, "hello world"))
    cache.take_operations()
    assert cache.match(tokens("hello there"), "") == NO_MATCH
    assert cache.match(tokens("hello worms"), "").length == 9


def test_a_prefix_that_a_window_has_lost_in_the_longer_text_is_kept() -> None:
    cache = KvCache(100, 4, reaches=lambda _slot, length: length >= 8)
    for text in ("hello", "hello world"):
        cache.release(fill(cache, text))
    assert cache.used == 5 + 11


def test_of_a_copy_that_the_model_has_not_made_yet_only_all_is_shared() -> None:
    cache = KvCache(100, 4, reaches=lambda slot, _length: slot != 0)
    first = fill(cache, "system prompt one")
    second = fill(cache, "unlike")
    cache.take_operations()
    cache.claim(Match(first, 14), "")
    assert (first, second) == (0, 1)
    assert cache.match(tokens("system prompt two"), "").length == 14
    assert cache.match(tokens("system program"), "") == NO_MATCH
    cache.take_operations()
    assert cache.match(tokens("system program"), "").length == 10


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    cache = KvCache(100, 4)
    cache.release(fill(cache, "hello"))
    assert cache.match(tokens("hello"), "").length == 4


def test_a_prefix_of_a_running_request_is_shared_without_new_cells() -> None:
    cache = KvCache(100, 4)
    first = fill(cache, "system prompt one")
    second = fill(cache, "system prompt two")
    assert cache.take_operations() == (CopyPrefix(first, second, 14),)
    assert cache.used == 17 + 3


def test_a_conversation_takes_its_own_prefix_over() -> None:
    cache = KvCache(100, 4)
    slot = fill(cache, "turn one. ")
    cache.release(slot)
    assert fill(cache, "turn one. turn two") == slot
    assert cache.take_operations() == ()


def test_salts_do_not_share() -> None:
    cache = KvCache(100, 4)
    cache.release(fill(cache, "secret of a", "a"))
    assert cache.match(tokens("secret of a!"), "b") == NO_MATCH
    assert cache.match(tokens("secret of a!"), "a").length == 11


def test_the_least_recently_used_tail_goes_first_and_only_as_much_as_is_needed() -> None:
    cache = KvCache(20, 4)
    old, new = fill(cache, "aaaaaaaa"), fill(cache, "bbbbbbbb")
    cache.release(old)
    cache.release(new)
    assert cache.reserve(7)
    assert cache.take_operations() == (Trim(old, 5),)
    assert cache.evicted == 3


def test_a_shared_beginning_outlives_the_tails_behind_it() -> None:
    cache = KvCache(20, 4)
    slots = [fill(cache, "system prompt" + tail) for tail in "123"]
    for slot in slots:
        cache.release(slot)
    assert cache.reserve(6)
    assert cache.match(tokens("system prompt?"), "").length == 13


def test_running_requests_are_never_evicted() -> None:
    cache = KvCache(10, 4)
    fill(cache, "12345678")
    assert not cache.reserve(3)
    assert cache.reserve(2)


def test_the_same_text_twice_is_kept_once() -> None:
    cache = KvCache(100, 4)
    cache.release(fill(cache, "once upon"))
    cache.release(fill(cache, "once upon"))
    cache.release(fill(cache, "once upon a time"))
    assert len(cache._holders) == 1
    cache.check_integrity()


def test_idle_prefixes_give_their_sequence_ids_up() -> None:
    cache = KvCache(100, 2)
    cache.release(fill(cache, "first"))
    cache.release(fill(cache, "second"))
    fill(cache, "third")
    fill(cache, "fourth")
    assert cache.claim(NO_MATCH, "") is None


def test_the_only_idle_prefix_is_taken_over_when_no_id_is_left() -> None:
    cache = KvCache(100, 2)
    fill(cache, "running")
    idle = fill(cache, "a prefix and its tail")
    cache.release(idle)
    assert cache.claim(cache.match(tokens("a prefix!"), ""), "") == (idle, 8)


def test_a_cancelled_plan_gives_its_cells_back() -> None:
    cache = KvCache(10, 2)
    assert cache.reserve(10)
    assert not cache.reserve(1)
    cache.cancel_reservations()
    assert cache.free == 10


def test_whole_states_are_reused_whole_or_not_at_all() -> None:
    cache = KvCache(100, 4, partial=False)
    slot = fill(cache, "state")
    cache.release(slot)
    assert cache.match(tokens("stale!"), "") == NO_MATCH
    assert cache.claim(cache.match(tokens("state of mind"), ""), "") == (slot, 5)


def test_a_broken_book_is_noticed() -> None:
    cache = KvCache(10, 2)
    fill(cache, "abc")
    cache._owners[5] = 1
    with pytest.raises(AssertionError, match="cell 5"):
        cache.check_integrity()


def test_a_prefix_that_must_leave_is_saved_once_and_fetched_again() -> None:
    cache = KvCache(100, 4, shelf=make_shelf(1000))
    text = "a system prompt that is long enough to be worth keeping on the shelf"
    old = fill(cache, text)
    cache.release(old)
    cache.take_operations()
    assert cache.reserve(40)
    assert cache.take_operations() == (Save(old, 1, len(text)), Trim(old, len(text) - 8))
    cache.cancel_reservations()
    cache.make_room(100)
    assert cache.take_operations() == (Trim(old, 0),)
    match = cache.match(tokens(text + " and more"), "")
    assert (match.length, match.shelved, match.cells) == (len(text), 1, len(text))
    assert cache.claim(match, "") is not None
    assert isinstance(cache.take_operations()[0], Load)
    cache.check_integrity()


def test_what_is_fetched_is_cut_to_what_matches() -> None:
    cache = KvCache(200, 4, shelf=make_shelf(1000))
    text = "x" * 80
    cache.release(fill(cache, text + " first conversation"))
    cache.make_room(200)
    cache.take_operations()
    claimed = cache.claim(cache.match(tokens(text + " other"), ""), "")
    assert claimed is not None
    assert claimed[1] == 81
    assert cache.take_operations() == (Load(1, claimed[0], 80 + 19), Trim(claimed[0], 81))


def test_what_is_about_to_be_fetched_is_not_pushed_off_the_shelf() -> None:
    cache = KvCache(400, 2, shelf=make_shelf(180))
    for letter in "wxy":
        cache.release(fill(cache, letter * 90))
    cache.take_operations()
    match = cache.match(tokens("w" * 91), "")
    assert match.shelved == 1
    fill(cache, "an active one takes the id of the second")
    claimed = cache.claim(match, "")
    assert claimed is not None
    assert claimed[1] == 90
    assert Load(1, claimed[0], 90) in cache.take_operations()
    cache.check_integrity()


def test_what_was_computed_for_a_failed_request_is_emptied_though_the_books_never_had_it() -> None:
    cache = KvCache(100, 4)
    claimed = cache.claim(NO_MATCH, "")
    assert claimed is not None
    cache.release(claimed[0], keep=False)
    assert cache.take_operations() == (Trim(claimed[0], 0),)


def test_the_pool_is_preferred_where_the_shelf_has_little_more() -> None:
    cache = KvCache(400, 4, shelf=make_shelf(1000))
    cache.release(fill(cache, "y" * 120))
    cache.make_room(380)
    match = cache.match(tokens("y" * 121), "")
    assert match.shelved is not None
    cache.release(fill(cache, "y" * 100))
    assert cache.match(tokens("y" * 121), "").shelved is None


def test_without_room_on_the_shelf_nothing_is_saved() -> None:
    cache = KvCache(100, 4, shelf=make_shelf(10))
    cache.release(fill(cache, "z" * 90))
    cache.make_room(100)
    assert not [one for one in cache.take_operations() if isinstance(one, Save | Drop)]
