from __future__ import annotations

import pytest

from service.engine.output import TextOutput
from service.engine.requests import Sample, TokenChance, TokenProbabilities


def sample(token: int, piece: bytes, *, is_end: bool = False) -> Sample:
    return Sample(token, piece, is_end, TokenProbabilities(TokenChance(token, piece, -1.0), ()))


def run(pieces: list[bytes], stops: tuple[str, ...] = ()) -> tuple[list[str], list[int], str]:
    """The texts shown after each piece (and at the end), the tokens shown, the stopping word."""
    output, texts, tokens = TextOutput(stops), [], []
    for number, piece in enumerate(pieces):
        emission = output.push(sample(number, piece))
        texts.append(emission.text)
        tokens += emission.tokens
        assert len(emission.tokens) == len(emission.probabilities)
        if emission.stopping_word:
            return texts, tokens, emission.stopping_word
    last = output.flush()
    return [*texts, last.text], tokens + last.tokens, ""


def test_a_character_of_several_tokens_comes_with_the_last_of_them() -> None:
    assert run([b"a\xe2", b"\x82", b"\xacb"]) == (["a", "", "€b", ""], [0, 1, 2], "")


def test_the_tokens_of_an_unfinished_character_wait_for_it() -> None:
    output = TextOutput(())
    assert output.push(sample(1, b"\xf0\x9f")).tokens == []
    assert output.push(sample(2, b"\x98\x80")).tokens == [1, 2]


def test_half_a_character_at_the_end_becomes_a_replacement() -> None:
    assert run([b"ok\xe2\x82"]) == (["ok", "�"], [0], "")


def test_text_before_a_stop_string_is_shown_and_nothing_of_it_or_after() -> None:
    assert run([b"one ", b"STOP two"], ("STOP",)) == (["one ", ""], [0], "STOP")


def test_a_stop_string_over_several_tokens_never_leaks() -> None:
    assert run([b"text\n", b"\nUs", b"er:"], ("\n\nUser:",)) == (["text", "", ""], [], "\n\nUser:")


def test_what_might_have_become_a_stop_string_is_shown_once_it_cannot() -> None:
    assert run([b"a<", b"|en", b"d of"], ("<|end|>",)) == (["a", "", "<|end of", ""], [0, 1, 2], "")


def test_what_is_held_back_at_the_end_is_shown() -> None:
    assert run([b"wait ST"], ("STOP",)) == (["wait ", "ST"], [0], "")


def test_the_stop_string_that_begins_first_wins() -> None:
    assert run([b"x END STOP"], ("STOP", "END"))[2] == "END"


def test_an_end_token_has_no_text() -> None:
    output = TextOutput(())
    assert output.push(sample(2, b"</s>", is_end=True)).text == ""
    assert output.flush().tokens == []


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_text_does_not_depend_on_how_it_was_cut(size: int) -> None:
    text = "Grüße, 世界! ab abc 😀 end"
    data = text.encode()
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    texts, tokens, word = run(pieces, ("abcd", "zz"))
    assert ("".join(texts), tokens, word) == (text, list(range(len(pieces))), "")
