"""Templates of one mail: From, subject, preheader, text and HTML with `{{ variables }}` (jinja2, sandboxed).

What can be made of the parts before the values are known is made once: see `sender.preparing.prepared`.

Contract: `MailTemplate.render` gives finished texts or raises InvalidInput; a variable that is missing is named, so a
person is never greeted as "None".  HTML values are escaped.  A rendered From or subject with a line end or another
control character is refused: a value can never add a header.

The language is the harmless part of jinja2: output, if, one level of for, comparisons and the filters below.  Calls,
macros, imports, assignments, attributes (other than `loop.*`), powers and products are refused when the template is
compiled, so that the size of a rendering can be bounded before it is made.  The sandbox alone would allow
`'a' * 10**9`, a filter such as `center`, or forty assignments that double a string.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from jinja2 import StrictUndefined, Template, TemplateError, meta, nodes
from jinja2.exceptions import TemplateSyntaxError, UndefinedError
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import escape

from core.address import parse_address
from core.errors import InvalidInput, LimitExceeded
from sender.headers import split_mailbox
from sender.preparing.prepared import prepared
from sender.preparing.utm import Choice, tagger_of
from sender.tidy import Tidy, TidyText

PARTS = ("from", "subject", "preheader", "text", "html", "utm")
_RENDERED = ("from", "subject", "text", "html")
BUILT_IN = ("recipient", "unsubscribe_url", "preferences_url")  # variables that the sender itself fills in
_STAND_INS = {name: "https://x.example/" + "x" * 60 if name.endswith("_url") else "x@x.example" for name in BUILT_IN}
MAX_PART = 1_000_000  # characters of one part's source
MAX_RENDERED = 2_000_000  # characters of one rendered part
MAX_ESTIMATE = 20_000_000  # characters that a part could reach at worst, before it is rendered
MAX_HEADER = 900  # characters of a rendered From or subject
_FILTERS = (
    "abs", "capitalize", "d", "default", "e", "escape", "first", "float", "forceescape", "int", "last", "length",
    "lower", "round", "safe", "string", "striptags", "title", "trim", "truncate", "upper", "urlencode",
)  # fmt: skip
_TESTS = ("defined", "undefined", "eq", "ne", "lt", "le", "gt", "ge", "in", "none", "string", "number")
_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If, nodes.CondExpr, nodes.For,
    nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Concat, nodes.Add,
    nodes.Sub, nodes.Neg, nodes.List, nodes.Tuple, nodes.Getattr, nodes.Keyword,
)  # fmt: skip
_PLAIN = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name)
_NAMED = re.compile(r"'([^']{1,200})' is undefined")


def _environment(autoescape: bool) -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        autoescape=autoescape, undefined=StrictUndefined, keep_trailing_newline=True, cache_size=0
    )
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    environment.tests = {name: environment.tests[name] for name in _TESTS}
    return environment


_TEXT, _HTML = _environment(False), _environment(True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The finished texts for one recipient; '' where the template has no such part."""

    sender: str
    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    name: str
    template: Template
    size: int  # characters of the source
    names: frozenset[str]
    uses: int  # places where a variable stands
    loops: bool
    plain: bool  # nothing but text and variables: it cannot fail once every variable is there
    fixed: str  # the text of a plain part without a variable; '' for any other
    pieces: tuple[tuple[str, str], ...]  # of a plain part: (text, variable behind it)
    escaped: bool


class MailTemplate:
    """The compiled parts of one mail; `parts` has the keys of PARTS.  Raises InvalidInput naming the part."""

    def __init__(self, parts: Mapping[str, str]) -> None:
        unknown = sorted(set(parts) - set(PARTS))
        if unknown:
            raise InvalidInput(unknown[0][:50], "is no part of a message", f"Parts are: {', '.join(PARTS)}")
        if any(character in parts.get("preheader", "") for character in "\r\n"):
            raise InvalidInput("preheader", "holds a line end", "Write one line")
        ready = prepared(parts)
        sources = {**parts, "text": ready.text, "html": ready.html, "preheader": ""}
        for name in ("preheader", "text", "html"):
            if parts.get(name) and parts[name] != sources[name]:
                _parse(name, parts[name])  # as written, so that an error names the writer's own line
        self._ready = ready
        self._parts = {name: _compile(name, sources[name]) for name in _RENDERED if sources.get(name)}
        self._used = frozenset[str]().union(*(part.names for part in self._parts.values()))
        self._needed = self._used - set(BUILT_IN)
        sender, subject = self._parts.get("from"), self._parts.get("subject")
        plain = all(part.plain for part in self._parts.values())
        self._plain = plain and not (sender and sender.names) and not ready.waits
        self._varying_sender = bool(sender and sender.names)
        self._subject = subject if subject and subject.names else None
        text = self._parts.get("text")
        alone = text and not sources.get("html") and not ready.utm and not ready.waits
        self._tidy = TidyText.of(text.pieces) if text and alone else None
        for name, part in (("from", sender), ("subject", subject)):
            if part and not part.names:  # `check` looks at the values alone where the template is plain
                _header(name, _render(part, {}, 0))
        if sender and not sender.names:
            _sender(_render(sender, {}, 0))

    def check(self, variables: Mapping[str, str]) -> None:
        """Raises InvalidInput exactly when `render` would; where the template is plain, without rendering it all."""
        values = {**_STAND_INS, **variables}
        if not self._plain:
            self.render(values)
            return
        missing = self._needed - variables.keys()
        if missing:
            raise _missing(min(missing))
        longest = _longest(values)
        for part in self._parts.values():
            _bound(part, longest)
        if self._subject:
            _header("subject", _render(self._subject, values, longest))

    def render(self, variables: Mapping[str, str]) -> Rendered:
        """`variables` must hold the built-in ones too, those that it `uses`.  Raises InvalidInput."""
        values, longest = dict(variables), _longest(variables)
        done = {name: _render(part, values, longest) for name, part in self._parts.items()}
        for name in ("from", "subject"):
            _header(name, done.get(name, ""))
        if self._varying_sender:
            _sender(done["from"])
        text, html = self._ready.finish(done.get("text", ""), done.get("html", ""))
        return Rendered(sender=done.get("from", ""), subject=done.get("subject", ""), text=text, html=html)

    def tidy(self, variables: Mapping[str, str]) -> Tidy | None:
        """The body of what `render` gives, where it is text that goes out as it is; None where it may not be."""
        return self._tidy.body(variables) if self._tidy is not None else None

    def uses(self, name: str) -> bool:
        """Whether a variable stands anywhere in it, a built-in one too."""
        return name in self._used

    @property
    def names(self) -> frozenset[str]:
        """The variables in it, without those that the sender fills in."""
        return self._needed

    @property
    def utm(self) -> Choice:
        """Which links get UTM parameters; false when none do."""
        return self._ready.utm


def tagged(
    rendered: Rendered, choice: Choice, *, source: str, campaign: str, stream: str, spare: tuple[str, ...]
) -> Rendered:
    """The message with UTM parameters on the links of `choice`; `spare`: beginnings of links of our own."""
    tagger = tagger_of(choice, source, campaign, stream)
    return replace(rendered, text=tagger.text(rendered.text, spare), html=tagger.html(rendered.html, spare))


def template_of(parts: Mapping[str, str]) -> MailTemplate:
    """The compiled template of these parts, from a bounded cache.  Raises InvalidInput."""
    return _cached(tuple((name, parts[name]) for name in sorted(parts)))


@lru_cache(maxsize=64)
def _cached(parts: tuple[tuple[str, str], ...]) -> MailTemplate:
    return MailTemplate(dict(parts))


def _parse(name: str, source: str) -> tuple[SandboxedEnvironment, nodes.Template, bool]:
    """The tree, and whether it is plain."""
    if len(source) > MAX_PART:
        raise LimitExceeded(name, f"is {len(source)} characters long", f"At most {MAX_PART}")
    environment = _HTML if name == "html" else _TEXT
    try:
        tree = environment.parse(source)
        return environment, tree, _examine(name, tree)
    except TemplateSyntaxError as error:
        raise InvalidInput(name, f"line {error.lineno}: {error.message}", "Mend the template") from error
    except (TemplateError, RecursionError, MemoryError, SyntaxError, ValueError) as error:
        raise InvalidInput(name, f"cannot be compiled ({type(error).__name__})", "Simplify the template") from error


def _compile(name: str, source: str) -> _Part:
    environment, tree, plain = _parse(name, source)
    try:
        uses = sum(1 for _ in tree.find_all(nodes.Name))
        loops = tree.find(nodes.For) is not None
        names = frozenset(meta.find_undeclared_variables(tree))
        template = environment.from_string(tree)
        # half a character is left to be found when it is rendered
        fixed = template.render() if plain and not names and _is_text(source) else ""
    except (TemplateError, RecursionError, MemoryError, SyntaxError, ValueError) as error:
        raise InvalidInput(name, f"cannot be compiled ({type(error).__name__})", "Simplify the template") from error
    return _Part(
        name=name, template=template, size=len(source), names=names, uses=uses, loops=loops, plain=plain,
        fixed=fixed, pieces=_pieces(tree) if plain else (), escaped=name == "html",
    )  # fmt: skip


def _examine(part: str, tree: nodes.Template) -> bool:
    """Refuse what the language leaves out; True when the template is plain."""
    plain = True
    pending: list[tuple[nodes.Node, bool]] = [(tree, False)]
    while pending:
        node, in_loop = pending.pop()
        plain = plain and isinstance(node, _PLAIN)
        looping = isinstance(node, nodes.For)
        recursive = isinstance(node, nodes.For) and node.recursive
        loop_attribute = not isinstance(node, nodes.Getattr) or (
            isinstance(node.node, nodes.Name) and node.node.name == "loop"
        )
        if type(node) not in _ALLOWED or not loop_attribute or recursive or (looping and in_loop):
            what = "a loop in a loop" if looping else type(node).__name__.lower()
            raise InvalidInput(part, f"line {node.lineno} uses {what}, which templates may not", "Use a variable")
        pending += [(child, in_loop or looping) for child in node.iter_child_nodes()]
    return plain


def _longest(variables: Mapping[str, str]) -> int:
    return max(map(len, variables.values()), default=0)


def _bound(part: _Part, longest: int) -> None:
    if part.size * (longest if part.loops else 1) + part.uses * longest * (longest if part.loops else 1) > MAX_ESTIMATE:
        raise LimitExceeded(part.name, "could grow beyond every bound with these values", "Use shorter values")


def _header(name: str, text: str) -> None:
    if not text.isprintable():
        raise InvalidInput(name, "holds a line end or another control character", "Remove it from the values")
    if len(text) > MAX_HEADER:
        raise LimitExceeded(name, f"is {len(text)} characters long", f"At most {MAX_HEADER}")


def _sender(text: str) -> None:
    """One mailbox, whatever the values: a name such as `Smith, Ann` makes two of it."""
    address = parse_address(split_mailbox(text)[1])
    if address.needs_smtputf8:
        raise InvalidInput("from", "has letters outside ASCII before the @", "Use an ASCII address")


def _render(part: _Part, variables: Mapping[str, str], longest: int) -> str:
    if part.fixed:
        return part.fixed
    _bound(part, longest)
    try:
        text = _joined(part, variables) if part.pieces else part.template.render(variables)
    except UndefinedError as error:
        found = _NAMED.search(str(error))
        raise _missing(found[1] if found else "?") from error
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(part.name, f"cannot be rendered ({type(error).__name__})", "Check the values") from error
    if len(text) > MAX_RENDERED:
        raise LimitExceeded(part.name, f"would be {len(text)} characters long", f"At most {MAX_RENDERED}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(part.name, "holds half a character", "Send valid Unicode text") from error
    return text


def _pieces(tree: nodes.Template) -> tuple[tuple[str, str], ...]:
    """A plain template as texts and the names behind them: joining those takes a third of the engine's time."""
    pieces: list[tuple[str, str]] = []
    text = ""
    for output in tree.body:
        for node in output.nodes if isinstance(output, nodes.Output) else ():
            if isinstance(node, nodes.TemplateData):
                text += node.data
            elif isinstance(node, nodes.Name):
                pieces.append((text, node.name))
                text = ""
    return (*pieces, (text, ""))


def _joined(part: _Part, variables: Mapping[str, str]) -> str:
    out: list[str] = []
    for text, name in part.pieces:
        out.append(text)
        if name:
            value = variables.get(name)
            if value is None:
                raise _missing(name)
            out.append(str(escape(value)) if part.escaped else value)
    return "".join(out)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _missing(name: str) -> InvalidInput:
    return InvalidInput(f"variables.{name}", f"{name!r} is missing", "Give it for this recipient")
