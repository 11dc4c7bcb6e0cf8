"""Redaction on the way in: what must not be kept is replaced before it reaches the store, by the same pseudonym wherever it stands.

Secrets are replaced unless one says otherwise: private keys, API keys and tokens of well-known shapes, bearer tokens, passwords in URLs, and
whatever stands under a key such as `password`. Personal data only on request, because a run can often not be understood without it: payment card
numbers (Luhn), IBANs (ISO 7064) and e-mail addresses. In the pyproject.toml of the folder one works in:

    [tool.workbench.redaction]
    enabled = true                                 # false, or --no-redaction: keep everything
    kinds = ["secret", "card", "iban", "email"]    # default: ["secret"]
    keys = ["national_insurance_number"]           # more keys whose value is replaced whole
    patterns = { badge = "EMP-[0-9]{6}" }          # more shapes, by a name of your own

A pseudonym is an HMAC under a secret of the store: equal values stay equal, so joins, detectors and replay work. The secret of a file lies beside it
and not in it, so nobody who has only the store can try values out; that of a server stands in the store, so
that a team's pseudonyms agree. Ids that joining rests on are never touched, nor what tells the time or counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import secrets
import string
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import is_
from pathlib import Path
from typing import AnyStr, TypeVar

import ahocorasick_rs

from workbench import project
from workbench.model import Json, Record, Skip, Span, Value
from workbench.reading.documents import listed

KINDS = ("secret", "card", "iban", "email")
DEFAULT_KINDS = ("secret",)
ENTRIES = frozenset({"enabled", "kinds", "keys", "patterns"})
PSEUDONYM_DIGITS = 12
KEY_BYTES = 32
REMEMBERED_TEXTS = 4096
REMEMBERED_CHARACTERS = 16 * 1024
LONGEST_PLACEHOLDER = 80
SHORT = 256
"""Characters up to which a text is remembered with its key."""
SAID_BY_SPAN = ("name", "status_message")
SAYS_NOTHING = frozenset((int, float, bool, type(None)))
"""What can't hold anything that is to be replaced."""
LISTS = (list, tuple)

SECRET_KEYS = frozenset(
    (
        *("password", "passwd", "passphrase", "secret", "client_secret", "api_key", "apikey", "x_api_key", "access_key", "secret_key", "secret_access_key"),
        *("private_key", "access_token", "refresh_token", "auth_token", "bearer_token", "session_token", "id_token", "credentials"),
        *("authorization", "proxy_authorization", "cookie", "set_cookie"),
    )
)
"""Names under which a secret stands, in snake case. Not `token`: log-probabilities name each word so."""
JOINED_BY = re.compile(r"(^|[._])(id|ids|uuid)$|[a-z](Id|ID|Ids)$|checkpoint_ns$|^(langgraph_|thread_|idempotency)")
"""Keys whose values are ids: replacing one would tear apart what belongs together."""

STEMS: tuple[str, ...] = ("passw", "passphrase", "secret", "apikey", "api_key", "api-key", "ess_key", "ess-key", "ate_key", "ate-key")
STEMS += ("_token", "-token", "credentials", "authorization", "cookie")
"""A text with none of these holds no secret under its name, which is quicker to see than to search for all names."""
NAMES = "|".join(sorted(name.replace("_", "[_-]?") for name in SECRET_KEYS))


PLACEHOLDER = re.compile(
    r"""(?:your|insert|enter|replace)(?:[-_ ][a-z]+)+  |  (?:[a-z]+[-_])*(?:example|placeholder|dummy|sample|fake|mock)(?:[-_][a-z]+)*
    |  <[a-z][a-z _-]{0,60}>  |  \$?\{{1,2}\s?[a-z_][a-z_.]{0,60}\s?\}{1,2}  |  (?-i:\$[A-Z_]+)  |  %\([a-z_]+\)s
    |  (?:[a-z]{2,8}[-_])*[x*.…•]{3,}  |  none|null|undefined  |  user(?:name)?:pass(?:word)?""",
    re.IGNORECASE | re.VERBOSE,
)
"""What stands where a secret would: the word for one, a variable, a row of x. None holds a digit, so that no real key passes for one."""


OUTLINE = bytes.maketrans(string.digits.encode() + string.ascii_uppercase.encode(), b"0" * 10 + b"A" * 26)
"""What `outline` makes of a byte."""


@dataclass(frozen=True)
class Shape:
    """What one kind of value looks like; `valid` is its checksum.

    A text that has none of `hints`, or whose outline does not have `outlined`, can't hold one, which is quicker to see than to look for the pattern.
    """

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    valid: Callable[[str], bool] = bool
    outlined: bytes = b""


def outline(content: bytes) -> bytes:
    """A text of which only the build is left: 0 for a digit, A for a capital, and no spaces or hyphens, by which long numbers are grouped."""
    return content.translate(OUTLINE, b" -")


def is_placeholder(value: str) -> bool:
    """Whether a value only shows where a secret goes, such as `YOUR_API_KEY`, `<token>`, `${PASSWORD}` or `sk-xxxx`."""
    return len(value) <= LONGEST_PLACEHOLDER and PLACEHOLDER.fullmatch(value.strip("\"'` ")) is not None


def luhn(text: str) -> bool:
    """Whether digits are a payment card's number by its check digit (ISO/IEC 7812)."""
    digits = [int(one) for one in text if one.isdigit()]
    doubled = [sum(divmod(2 * one, 10)) if place % 2 else one for place, one in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0 and len(set(digits)) > 1


def iban(text: str) -> bool:
    """Whether a text is an IBAN by its check digits (ISO 7064, MOD 97-10)."""
    compact = text.replace(" ", "")
    return int("".join(str(int(one, 36)) for one in compact[4:] + compact[:4])) % 97 == 1


SHAPES = (
    Shape("secret", ("-----BEGIN",), re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL)),
    Shape("secret", ("sk-", "sk_", "rk_"), re.compile(r"\b(?:sk-[A-Za-z0-9_-]{20,}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,})")),
    Shape("secret", ("AKIA", "ASIA"), re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    Shape("secret", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,})")),
    Shape(
        "secret",
        ("glpat-", "hf_", "npm_", "AIza", "xox"),
        re.compile(r"\b(?:glpat-[\w-]{20,}|(?:hf|npm)_[A-Za-z0-9]{30,}|AIza[\w-]{35}|xox[abeprs]-[\w-]{10,})"),
    ),
    Shape("secret", ("eyJ",), re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}")),
    Shape("secret", ("earer ",), re.compile(r"(?<=[Bb]earer )[A-Za-z0-9._~+/-]{16,}=*")),
    Shape("secret", ("://",), re.compile(r"(?<=://)[^\s/:@]+:[^\s/@]+(?=@)")),
    Shape("card", (), re.compile(r"(?<![\w.-])(?:3[47]|[456]\d)(?:[ -]?\d){11,14}(?![\w-])"), luhn, b"0" * 13),
    Shape("iban", (), re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), iban, b"AA00"),
    Shape("email", ("@",), re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")),
)
NAMED_IN_TEXT = re.compile(rf"""(?i)(?<![a-z])(?P<name>{NAMES})(?P<between>\\?["']?\s*[:=]\s*\\?["'])(?P<value>[^"'\\\s]+)""")
"""A secret under its name inside a text that is itself JSON or code."""


class RedactionError(ValueError):
    """A `[tool.workbench.redaction]` that can't be used. The message names the entry and what would be right."""


@dataclass(frozen=True)
class Rules:
    """What is replaced."""

    kinds: tuple[str, ...] = DEFAULT_KINDS
    keys: frozenset[str] = frozenset()
    patterns: tuple[tuple[str, str], ...] = ()

    def shapes(self) -> tuple[Shape, ...]:
        """The shapes of these kinds, the user's own first."""
        own = tuple(Shape(name, (), re.compile(pattern)) for name, pattern in self.patterns)
        return own + tuple(shape for shape in SHAPES if shape.kind in self.kinds)

    def names(self) -> frozenset[str]:
        """The keys whose value is replaced whole, in snake case."""
        return frozenset(map(_snake, self.keys)) | (SECRET_KEYS if "secret" in self.kinds else frozenset())


def rules_of(folder: Path) -> Rules | None:
    """The rules that the nearest pyproject.toml gives, the default where it gives none, None where it turns redaction off."""
    return parse_rules(*project.table("redaction", folder))


def parse_rules(table: Mapping[str, Json], place: str) -> Rules | None:
    """The rules in a `[tool.workbench.redaction]`. RedactionError for what it can't hold."""
    if unknown := table.keys() - ENTRIES:
        raise RedactionError(f"{place}: tool.workbench.redaction has no {min(unknown)!r}; there are {', '.join(sorted(ENTRIES))}")
    kinds, keys, patterns = table.get("kinds", DEFAULT_KINDS), table.get("keys", ()), table.get("patterns", {})
    if not isinstance(kinds, list | tuple) or not set(kinds) <= set(KINDS):
        raise RedactionError(f"{place}: tool.workbench.redaction.kinds should be a list of {', '.join(KINDS)}, found {kinds!r}")
    if not isinstance(keys, list | tuple) or not isinstance(patterns, dict):
        raise RedactionError(f"{place}: tool.workbench.redaction wants keys = [...] and patterns = {{ name = 'regular expression' }}")
    for name, pattern in patterns.items():
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise RedactionError(f"{place}: tool.workbench.redaction.patterns.{name} is no regular expression: {error}") from error
    return Rules(tuple(kinds), frozenset(map(str, keys)), tuple(patterns.items())) if table.get("enabled", True) else None


def stricter(rules: Rules, kinds: Iterable[str] = (), keys: Iterable[str] = ()) -> Rules:
    """The rules, with more kinds and keys. RedactionError for a kind there is not."""
    wanted = tuple(kinds)
    if unknown := set(wanted) - set(KINDS):
        raise RedactionError(f"there is no kind {min(unknown)!r} of what is redacted; there are {', '.join(KINDS)}")
    return Rules(tuple(dict.fromkeys((*rules.kinds, *wanted))), rules.keys | frozenset(keys), rules.patterns)


def key_file(store: Path) -> Path:
    """Where the secret of a store in a file lies."""
    return store.with_name(store.name + ".key")


def new_key() -> bytes:
    """A secret for pseudonyms."""
    return secrets.token_bytes(KEY_BYTES)


def key_beside(store: Path) -> bytes:
    """The secret of a store's pseudonyms, in a file beside it that only its owner can read; made when it is first wanted."""
    path = key_file(store)
    if not path.exists():
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-") as made:  # as such files are: its owner's alone
            made.write(new_key())
            made.flush()
            with contextlib.suppress(FileExistsError):  # another process was quicker: its key counts
                path.hardlink_to(made.name)
    return path.read_bytes()


V = TypeVar("V", bound=Value)
T = TypeVar("T")


class Redactor:
    """Replaces what the rules name, and counts it by kind in `counts`; `replaced`, where it is given, gathers every original with its pseudonym."""

    def __init__(self, rules: Rules, key: bytes, replaced: dict[str, str] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._replaced = replaced
        self._key = key
        self._shapes, self._names = rules.shapes(), rules.names()
        self._in_text = "secret" in rules.kinds
        self._cleaned = lru_cache(REMEMBERED_TEXTS)(self._clean)
        hints = [hint for shape in self._shapes for hint in shape.hints] + list(STEMS if self._in_text else ())
        self._hints = ahocorasick_rs.BytesAhoCorasick(sorted({hint.lower().encode() for hint in hints}), implementation=ahocorasick_rs.Implementation.DFA)
        self._outlined = [shape.outlined for shape in self._shapes if shape.outlined]
        self._always = not all(shape.hints or shape.outlined for shape in self._shapes)
        self._clean_items: set[bytes] = set()
        self._clean_pairs: set[tuple[str, str]] = set()
        self._clean_resource: Json = None

    def records(self, records: Iterable[Record]) -> Iterator[Record]:
        """The records, redacted."""
        return map(self.record, records)

    def record(self, record: V) -> V:
        """One record; the same object where nothing was replaced. A skip tells places of files, and stays as it is."""
        if isinstance(record, Span):
            changed = self._changed(record)
            return record.model_copy(update=changed) if changed else record
        return record if isinstance(record, Skip) else self._value(record)

    def state(self, state: dict[str, Json]) -> dict[str, Json]:
        """The channels of a state, redacted."""
        return {channel: self._of(value, channel) for channel, value in state.items()}

    def text(self, text: str, name: str = "") -> str:
        """A text that stands under a key, redacted."""
        return self._text(text, name)

    def _changed(self, span: Span) -> dict[str, Json]:
        """The fields of a span in which something was replaced. Its ids, times and status are never touched."""
        said = span.__dict__
        changed: dict[str, Json] = {name: found for name in SAID_BY_SPAN if (text := said[name]) and (found := self._text(text, "")) is not text}
        if (attributes := self._object(span.attributes)) is not span.attributes:
            changed["attributes"] = attributes
        if span.resource is not self._clean_resource:  # all spans of a resource share one
            if (resource := self._object(span.resource)) is span.resource:
                self._clean_resource = resource
            else:
                changed["resource"] = resource
        if span.events:
            changed["events"] = tuple(event.model_copy(update={"attributes": self._object(event.attributes)}) for event in span.events)
        return changed

    def _object(self, before: dict[str, Json]) -> dict[str, Json]:
        """An object, redacted; the same one where nothing was replaced."""
        after: dict[str, Json] = {}
        for entry in before.items():
            name, value = entry
            if not value or (kind := type(value)) in SAYS_NOTHING or (kind is str and (entry in self._clean_pairs or _is_id(name))):
                continue  # nearly all
            if (found := self._of(value, name)) is not value:
                after[name] = found
        return {**before, **after} if after else before

    def _of(self, value: Json, name: str = "") -> Json:
        """A value under a key, redacted; the same object where nothing was replaced."""
        if isinstance(value, str):
            return self._text(value, name)
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, LISTS):
            items = [self._of(inner, name) for inner in value]
            return value if all(map(is_, items, value)) else type(value)(items)
        return self._value(value) if isinstance(value, Value) else value

    def _value(self, value: V) -> V:
        """A value of the model, redacted: the same object where nothing was replaced."""
        before = value.__dict__
        after = self._object(before)
        return value if after is before else value.made(after)

    def _text(self, text: str, name: str) -> str:
        """A text under a key, redacted; the same object where nothing was replaced. A short one that recurs under its key is looked through once."""
        short = len(text) <= SHORT
        if not text or (short and (name, text) in self._clean_pairs):
            return text
        found = self._looked_through(text, name)
        if short and found is text:
            _remember(self._clean_pairs, (name, text))
        return found

    def _looked_through(self, text: str, name: str) -> str:
        if name and _is_id(name):
            return text
        if name and _last_word(name) in self._names:
            return text if is_placeholder(text) else self._pseudonym("secret", text)
        parts = listed(text)
        if all(map(self._is_clean, parts.items)) if parts else self._has_no_hint(text.encode("utf-8", "surrogatepass")):
            return text  # messages that each call repeats are looked through once
        cleaned, found = self._cleaned(text) if len(text) <= REMEMBERED_CHARACTERS else self._clean(text)
        self.counts.update(found)
        return text if cleaned == text else cleaned

    def _has_no_hint(self, content: bytes) -> bool:
        """Whether a text can hold nothing that is to be replaced, which is much quicker to see than what it holds."""
        if self._always or self._hints.find_matches_as_indexes(content.lower()):
            return False
        return not self._outlined or not _any_in(self._outlined, outline(content))

    def _is_clean(self, item: bytes) -> bool:
        if item not in self._clean_items:
            if not self._has_no_hint(item) and self._clean(item.decode())[1]:
                return False
            _remember(self._clean_items, item)
        return True

    def _clean(self, text: str) -> tuple[str, tuple[str, ...]]:
        """A text without what the shapes match, and the kind of each match."""
        found: list[str] = []

        def replaced(shape: Shape, match: re.Match[str]) -> str:
            if match[0].startswith("[redacted") or is_placeholder(match[0]) or not shape.valid(match[0]):
                return match[0]
            found.append(shape.kind)
            return self._hidden(shape.kind, match[0])

        for shape in self._shapes:
            if not shape.hints or _any_in(shape.hints, text):
                text = shape.pattern.sub(lambda match, shape=shape: replaced(shape, match), text)  # type: ignore[misc]  # the default binds this round's shape
        if self._in_text and _any_in(STEMS, text.lower()):
            text = NAMED_IN_TEXT.sub(lambda match: self._named(match, found), text)
        return text, tuple(found)

    def _named(self, match: re.Match[str], found: list[str]) -> str:
        if match["value"].startswith("[redacted") or is_placeholder(match["value"]):
            return match[0]
        found.append("secret")
        return match["name"] + match["between"] + self._hidden("secret", match["value"])

    def _pseudonym(self, kind: str, text: str) -> str:
        if text.startswith("[redacted"):
            return text
        self.counts[kind] += 1
        return self._hidden(kind, text)

    def _hidden(self, kind: str, text: str) -> str:
        """The pseudonym of a value: what kind it was, and digits that are the same for the same value."""
        pseudonym = f"[redacted {kind} {hmac.new(self._key, text.encode('utf-8', 'surrogatepass'), hashlib.sha256).hexdigest()[:PSEUDONYM_DIGITS]}]"
        return pseudonym if self._replaced is None else self._replaced.setdefault(text, pseudonym)


def _remember(known: set[T], value: T) -> None:
    if len(known) >= REMEMBERED_TEXTS:
        known.clear()
    known.add(value)


def _any_in(hints: Iterable[AnyStr], text: AnyStr) -> bool:
    return any(hint in text for hint in hints)


@lru_cache(REMEMBERED_TEXTS)
def _is_id(name: str) -> bool:
    return JOINED_BY.search(name) is not None


@lru_cache(REMEMBERED_TEXTS)
def _last_word(name: str) -> str:
    """The last part of a dotted key, in snake case: `http.request.header.X-Api-Key` as `x_api_key`."""
    return _snake(name.rpartition(".")[2])


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()
