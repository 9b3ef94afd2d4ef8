"""The sample audience: about 6,000 invented people at the sandbox's providers, the same for the same seed.

Contract: `person(address)` answers for *every* address, so that it serves as the providers' People:
- members: drawn once from the seed (60 % engaged, 25 % casual, 15 % sleeping; a few full or closed mailboxes);
- lists of a scenario (`listed`): made from their name, occurrence and index alone, which stand in the address, so that
  they are the same after a restart; `bought` is dead to 55 %, `lapsed` holds one annoyed person in 24;
- anything else: a casual person, unless the local part begins with `dead`, `full` or `angry`: for trying things out.
All domains are reserved names (RFC 2606): this mail cannot reach anybody, whatever happens to the database.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from random import Random

from sandbox.behaviour import Behaviour
from sandbox.people import Engagement, Person

SHARES = {"gmail": 0.34, "outlook": 0.22, "yahoo": 0.15, "mailru": 0.21, "postfix": 0.08}
DEAD_IN_BOUGHT = 0.55
ANNOYED_ONE_IN = 24
_FIRST = (
    *("anna", "boris", "clara", "denis", "elena", "felix", "greta", "hugo", "irina", "jonas", "katya", "leon", "maria"),
    *("nikita", "olga", "pavel", "rosa", "sergey", "tanya", "ulf", "vera", "walter", "yana", "zoe", "alex", "beate"),
)
_LAST = (
    *("adler", "bauer", "costa", "dubois", "ericson", "fischer", "garcia", "hansen", "ivanov", "jansen", "kuznetsov"),
    *("lopez", "meyer", "novak", "orlov", "petrov", "quist", "rossi", "sokolov", "tanaka", "ueda", "volkov", "weber"),
)
_LISTED = re.compile(r"[a-z]+\.[a-z]+\.(bought|lapsed)(\d{1,4})n(\d{1,5})@.*")


class Audience:
    """`behaviours` name the providers and their domains; `size` is the number of members."""

    def __init__(self, behaviours: Mapping[str, Behaviour], *, seed: int, size: int = 6000) -> None:
        self._behaviours = dict(behaviours)
        self._people: dict[str, Person] = {}
        self._readers: dict[str, list[str]] = {name: [] for name in behaviours}
        rng = Random(f"{seed} audience")
        weights = [SHARES.get(name, 0.05) for name in self._behaviours]
        names = rng.choices(list(self._behaviours), weights, k=size)
        for index, name in enumerate(names):
            domains = self._behaviours[name].domains
            domain = domains[0] if len(domains) == 1 or rng.random() < 0.75 else rng.choice(domains[1:])
            address = f"{rng.choice(_FIRST)}.{rng.choice(_LAST)}{index}@{domain}"
            person = _drawn(rng)
            self._people[address] = person
            if person.engagement is not Engagement.SLEEPING:
                self._readers[name].append(address)
        for readers in self._readers.values():  # most engaged first: the order that a careful sender ramps up in
            readers.sort(key=lambda a: self._people[a].engagement is not Engagement.ENGAGED)

    def __len__(self) -> int:
        return len(self._people)

    def __iter__(self) -> Iterator[str]:
        return iter(self._people)

    def add_seed(self, address: str) -> None:
        """A mailbox of our own: never complains, always there."""
        self._people[address.lower()] = Person(engagement=Engagement.ENGAGED)

    def readers(self, provider: str) -> list[str]:
        """Members of one provider who read us, engaged ones first."""
        return self._readers.get(provider, [])

    def listed(self, name: str, provider: str, occurrence: int, size: int) -> list[str]:
        """The addresses of a scenario's list: `name` is 'bought' or 'lapsed'."""
        rng = Random(f"{name} {provider} {occurrence}")
        domain = self._behaviours[provider].domains[0]
        return [
            f"{rng.choice(_FIRST)}.{rng.choice(_LAST)}.{name}{occurrence}n{index}@{domain}" for index in range(size)
        ]

    def person(self, address: str) -> Person:
        """Who sits behind an address."""
        known = self._people.get(address)
        if known is not None:
            return known
        listed = _LISTED.fullmatch(address)
        if listed is None:
            return Person(
                exists=not address.startswith("dead"),
                full=address.startswith("full"),
                annoyed=address.startswith("angry"),
            )
        if listed[1] == "bought":
            dead = zlib.crc32(address.encode()) % 1000 < DEAD_IN_BOUGHT * 1000
            return Person(exists=not dead, engagement=Engagement.SLEEPING)
        return Person(engagement=Engagement.SLEEPING, annoyed=int(listed[3]) % ANNOYED_ONE_IN == ANNOYED_ONE_IN // 2)


def _drawn(rng: Random) -> Person:
    kind = rng.choices(list(Engagement), [0.60, 0.25, 0.15])[0]
    oddity = rng.random()
    return Person(
        engagement=kind,
        exists=not (kind is not Engagement.ENGAGED and oddity < 0.008),
        full=0.01 < oddity < 0.013,
    )
