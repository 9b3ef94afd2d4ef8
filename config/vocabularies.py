"""Our bounce classes in the words of KumoMTA, Sisimai and SparkPost, and theirs in ours (`data/vocabularies.toml`).

Contract: `load_vocabularies()` gives one Vocabulary a system; every class of ours has a word in each, and each of their
words has a class of ours.  Where they are coarser, the way back takes the class that does least harm: nothing of theirs
becomes a suppressing class unless it can mean nothing else.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files

from core.classify import BounceClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """One other system's words."""

    name: str
    words: dict[BounceClass, str]
    classes: dict[str, BounceClass]

    def word(self, bounce_class: BounceClass) -> str:
        """Their word for a class of ours."""
        return self.words[bounce_class]

    def bounce_class(self, word: str) -> BounceClass:
        """Our class for a word of theirs; UNDETERMINED for one that is unknown."""
        return self.classes.get(word, BounceClass.UNDETERMINED)


def load_vocabularies() -> dict[str, Vocabulary]:
    """By name: kumomta, sisimai, sparkpost."""
    tables = tomllib.loads(files("config").joinpath("data/vocabularies.toml").read_text(encoding="utf-8"))
    return {
        name: Vocabulary(
            name=name,
            words={BounceClass(ours): theirs for ours, theirs in table["to"].items()},
            classes={theirs: BounceClass(ours) for theirs, ours in table["from"].items()},
        )
        for name, table in tables.items()
    }
