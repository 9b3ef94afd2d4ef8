"""Sentences as patterns over words: what remote hosts say, matched by meaning and not by spelling.

A reply's text becomes a short string with one symbol a word; a sentence of the rules becomes a regular expression over
those symbols.  Words that no sentence mentions are all one symbol, so queue ids, addresses and host names vanish, and
texts that say the same thing become equal: the caller can remember the answer for the whole string.  Rejected: one
regular expression a sentence over the raw text (200 of them cost a millisecond a reply, and break on every hyphen).

The language of sentences, words separated by spaces, case ignored:
  word      that word            (a|b c)   one of            x?    may be missing
  stem*     words that begin so  ..  ...   up to 4 / 12 words in between
  ~name     the word, also as a label of a host name (`~spamhaus` finds zen.spamhaus.org)
  <address> <ip> <host> <n>      any address, IPv4 address, host name, number
  ^ $       beginning and end of the text
Words are runs of letters and digits; an apostrophe is dropped (`doesnt`), hyphen and underscore separate.

Contract: pure; `encode` never raises and looks at no more than MAX_TEXT characters.  A malformed sentence raises
InvalidInput when the language is built.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import islice, takewhile

from core.errors import InvalidInput

MAX_TEXT = 2000  # characters of a text that are looked at
MAX_REMEMBERED = 20_000  # words beyond the rules' own whose symbol is kept
OTHER, ADDRESS, IP, HOST, NUMBER = " ", "@", "I", "H", "N"
_CLASSES = {"<address>": ADDRESS, "<ip>": IP, "<host>": HOST, "<n>": NUMBER}
_FIRST_SYMBOL = 0x100
_SEPARATE = bytes(i if i > 127 or chr(i).isalnum() or chr(i) in ".@" else 32 for i in range(256))
_APOSTROPHE = b"'`"
_LEXEMES = re.compile(r"\(|\)|\||\?|\.\.\.?(?=\s|$|\))|\^|\$|[^\s()|?^$]+")
_DOTTED = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_ONE = re.compile(r"\[[^\[\]]+\]|[@IHN\u0100-\U0010ffff]")
_GAPS = {"..": "[^\n]{0,4}?", "...": "[^\n]{0,12}?"}


class _Symbols(dict[str, str]):
    """Word → symbol; works out and remembers what is missing."""

    def __init__(self) -> None:
        super().__init__()
        self.stems: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.lengths: tuple[int, ...] = ()
        self.heads: frozenset[str] = frozenset()  # first two letters of the stems: most ids have others

    def __missing__(self, word: str) -> str:
        if word.isdigit():
            if len(word) < 4:
                self[word] = NUMBER
            return NUMBER
        if "." in word:
            found = self._dotted(word)
            if len(word) <= 40 and len(self) < MAX_REMEMBERED:  # hosts come again
                self[word] = found
            return found
        found = OTHER
        if word[:2] in self.heads:
            for length in self.lengths:  # longest first
                stem = self.stems.get(word[:length])
                if stem is not None and len(word) >= length:
                    found = stem
                    break
        if len(word) <= 24 and word.isalpha() and len(self) < MAX_REMEMBERED:
            self[word] = found
        return found

    def _dotted(self, word: str) -> str:
        """The symbol of an IPv4 address, a host name, or a word at the end of a sentence."""
        bare = word.strip(".")
        if "." not in bare:
            return self[bare] if bare else OTHER
        if bare in self:
            return self[bare]
        if _DOTTED.fullmatch(bare):
            return IP
        for label in bare.split(".")[:20]:
            if label in self.names:
                return self.names[label]
        return HOST if bare[-1].isalpha() else OTHER


class Language:
    """The words of a set of sentences, and the way from texts and sentences to symbols."""

    def __init__(self, sentences: Iterable[str]) -> None:
        words: set[str] = set()
        stems: set[str] = set()
        self._unspaced: set[str] = set()
        for sentence in sentences:
            for lexeme in _lexemes(sentence):
                if lexeme in _CLASSES or not lexeme.strip("()|?.^$"):
                    continue
                if lexeme.endswith("*"):
                    stems.add(lexeme[:-1])
                else:
                    words.add(lexeme)
        plain = {word.removeprefix("~") for word in words}
        self._symbols = _Symbols()
        number = _FIRST_SYMBOL
        for word in sorted(plain):
            self._symbols[word] = chr(number)
            number += 1
        for stem in sorted(stems):
            self._symbols.stems[stem] = chr(number)
            number += 1
        self._symbols.names = {w[1:]: self._symbols[w[1:]] for w in words if w.startswith("~")}
        self._symbols.lengths = tuple(sorted({len(stem) for stem in stems}, reverse=True))
        self._symbols.heads = frozenset(stem[:2] for stem in stems)
        self._symbols[ADDRESS] = ADDRESS
        ordered, beginnings = sorted(plain), sorted(stems)  # looked up in: there are thousands of words
        self._classes = {stem: self._beginning(stem, ordered, beginnings) for stem in stems}
        # words of scripts without spaces are looked for inside a run of letters
        unspaced = sorted((w for w in plain if any("\u3000" <= c <= "\uffef" for c in w)), key=len, reverse=True)
        self._unspaced_words = re.compile("|".join(map(re.escape, unspaced))) if unspaced else None

    def _beginning(self, stem: str, words: Sequence[str], stems: Sequence[str]) -> str:
        """The class of all that begins like this, out of sorted lists."""
        symbols = {self._symbols[word] for word in _from(words, stem)}
        symbols |= {self._symbols.stems[other] for other in _from(stems, stem)}
        return f"[{''.join(sorted(symbols))}]"

    def encode(self, text: str) -> str:
        """The symbols of a text, one a word."""
        low = (text if len(text) <= MAX_TEXT else text[:MAX_TEXT]).lower()
        if not low.isascii():
            low = low.replace("\u2019", "'")
            if self._unspaced_words is not None:
                low = self._unspaced_words.sub(r" \g<0> ", low)
        if "@" in low:  # whole, before its hyphens make words of it
            low = " ".join(
                [w if "@" not in w else "@" if ":" not in w or w[-1] == ":" else _address(w) for w in low.split()]
            )
        spaced = low.encode("utf-8", "replace").translate(_SEPARATE, _APOSTROPHE).decode("utf-8", "replace")
        return "".join(map(self._symbols.__getitem__, spaced.split()))

    def pattern(self, sentences: Sequence[str]) -> re.Pattern[str]:
        """Finds any of the sentences in an encoded text."""
        compiled = [self._compile(sentence) for sentence in sentences]
        try:
            return re.compile("|".join(f"(?:{one})" for one in compiled))
        except re.error as error:
            raise InvalidInput(
                "sentence", f"one of {sentences!r} cannot be read ({error})", "See core.sentences"
            ) from error

    def _compile(self, sentence: str) -> str:
        lexemes = _lexemes(sentence)
        found, rest = self._alternatives(lexemes, 0)
        if rest != len(lexemes):
            raise InvalidInput("sentence", f"{sentence!r} has unbalanced brackets", "Close every ( with )")
        return found

    def _alternatives(self, lexemes: Sequence[str], at: int) -> tuple[str, int]:
        """Alternatives up to a closing bracket or the end.  Those of one symbol each become a class: a tenth of the
        time to compile, and faster to match."""
        classes: list[str] = []
        longer: list[str] = []
        while True:
            items: list[str] = []
            while at < len(lexemes) and lexemes[at] not in ("|", ")"):
                lexeme = lexemes[at]
                at += 1
                if lexeme == "(":
                    inner, at = self._alternatives(lexemes, at)
                    if at >= len(lexemes):
                        raise InvalidInput("sentence", "a ( is not closed", "Close every ( with )")
                    at += 1
                    items.append(inner if _ONE.fullmatch(inner) else f"(?:{inner})")
                elif lexeme in _GAPS:
                    items.append(_GAPS[lexeme])
                elif lexeme in ("?", "^", "$"):
                    items.append(lexeme)
                else:
                    items.append(self._word(lexeme))
            joined = "".join(items)
            (classes if len(items) == 1 and _ONE.fullmatch(joined) else longer).append(joined)
            if at >= len(lexemes) or lexemes[at] == ")":
                break
            at += 1
        if classes:
            symbols = sorted(set("".join(one.strip("[]") for one in classes)))
            longer.insert(0, f"[{''.join(symbols)}]")
        return "|".join(dict.fromkeys(longer)), at

    def _word(self, lexeme: str) -> str:
        if lexeme in _CLASSES:
            return _CLASSES[lexeme]
        if not lexeme.endswith("*"):
            return self._symbols[lexeme.removeprefix("~")]
        return self._classes[lexeme[:-1]]


def _from(ordered: Sequence[str], stem: str) -> Iterable[str]:
    return takewhile(lambda word: word.startswith(stem), islice(ordered, bisect_left(ordered, stem), None))


def _address(word: str) -> str:
    """The symbol of an address, and what follows its colon: `(ann@shop.example:blocked)`."""
    _, colon, rest = word.rpartition("@")[2].partition(":")
    return f"{ADDRESS} {rest}" if colon else ADDRESS


def _lexemes(sentence: str) -> list[str]:
    return _LEXEMES.findall(sentence.lower())
