"""Prompts made of words, the same for both servers and for every run of the same seed."""

from __future__ import annotations

from pathlib import Path
from random import Random

WORDS = tuple((Path(__file__).parent / "words.txt").read_text().split())


def words(random: Random, count: int) -> str:
    """`count` words with full stops between some of them."""
    chosen = random.choices(WORDS, k=count)
    return " ".join(word + "." if place % 13 == 12 else word for place, word in enumerate(chosen)) + "."


def prompt(random: Random, least: int, most: int) -> str:
    """A text of `least` to `most` words."""
    return words(random, random.randint(least, most))
