"""Settings of what recipients see and do: topics, double opt-in, tracking (docs/recipients.md)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from config.parts import Name, Part


class Topic(Part):
    """A subject within a stream that recipients may choose or leave on their page."""

    name: Name
    stream: Name = Field(description="A stream that one can unsubscribe from")
    title_en: str = Field(min_length=1, max_length=100)
    title_ru: str = Field("", max_length=100, description="title_en when empty")

    def title(self, language: str) -> str:
        """Its name for recipients."""
        return (self.title_ru if language == "ru" else "") or self.title_en


class OptIns(Part):
    """Double opt-in: the mail that asks for confirmation."""

    sender: str = Field("", description="From address of the mail, in a sending domain; a request may name another")
    stream: str = Field("", description="Stream of the mail; the first transactional one when empty")
    valid_days: float = Field(7, gt=0, le=90, description="How long the link confirms")
    per_address_per_day: int = Field(3, ge=1, le=100, description="Requests of one address in 24 hours")


class Tracking(Part):
    """Who opens and follows: see docs/recipients.md."""

    machines: Path | None = Field(None, description="User agents and networks of machines, before the shipped table")
    keep_days: int = Field(400, ge=1, description="How long a message's second open is known as one")
