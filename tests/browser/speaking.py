"""A model that says what it is told to, and what tests do on the page again and again."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

from service.engine.requests import GenerationRequest, Sample, TokenChance, TokenProbabilities
from tests.support.fake_model import END, FakeModel, FakeSampler


@dataclass
class SpeakingModel(FakeModel):
    """Answers `says`, byte by byte, from its beginning each time, and then ends."""

    cells: int = 16384
    sequences: int = 64
    says: str = "Hello to you."

    def open_sampler(self, request: GenerationRequest) -> SpeakingSampler:
        self.samplers += 1
        return SpeakingSampler(self, request.probabilities, text=self.says.encode())


@dataclass
class SpeakingSampler(FakeSampler):
    """One answer on its way."""

    text: bytes = b""
    said: int = 0

    def sample(self, row: int) -> Sample:
        super().sample(row)
        token = self.text[self.said] if self.said < len(self.text) else END
        self.said += 1
        piece = self.model.piece(token)
        chance = TokenChance(token, piece, -0.1)
        chances = TokenProbabilities(chance, (chance, TokenChance(65, b"A", -3.0))) if self.probabilities else None
        return Sample(token, piece, self.model.is_end(token), chances)


def say(page: Page, text: str) -> None:
    """Writes a message and sends it."""
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def answers(page: Page) -> Locator:
    """The answers that are shown."""
    return page.locator(".message.assistant")


def wait_for_answer(page: Page, number: int = 1) -> Locator:
    """The answer with this number, when it is there to its end."""
    answer = answers(page).nth(number - 1)
    expect(answer.get_by_role("button", name="Answer again")).to_be_enabled()
    return answer
