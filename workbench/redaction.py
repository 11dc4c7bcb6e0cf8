"""Redaction on the way in: what must not be kept is replaced before it reaches the store, by the same pseudonym wherever it stands.

Secrets, payment card numbers and IBANs are replaced unless one says otherwise. Secrets are private keys, API keys and tokens of well-known shapes, bearer
and basic credentials, passwords in URLs, and whatever stands under a name such as `user_password` (`workbench.secret_names`), in attributes and in any text.
E-mail addresses only on request, because a run can often not be understood without them. In the pyproject.toml of the folder one works in:

    [tool.workbench.redaction]
    enabled = true                                 # false, or --no-redaction: keep everything
    kinds = ["secret", "card", "iban", "email"]    # default: the first three
    keys = ["national_insurance_number"]           # more keys whose value is replaced whole
    patterns = { badge = "EMP-[0-9]{6}" }          # more shapes, by a name of your own

A pseudonym is an HMAC under a secret of the store: equal values stay equal, so joins, detectors and replay work. The secret of a file lies beside it
and not in it, so nobody who has only the store can try values out; that of a server stands in the store, so
that a team's pseudonyms agree. Ids that joining rests on are not touched but for an e-mail address in them, where those are asked for, nor what tells the
time or counts. A text that is JSON stays JSON: it is redacted as the value it stands for, to any depth, and a number's pseudonym gets quotes.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import hashlib
import hmac
import json
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
from typing import TypeVar

import ahocorasick_rs

from workbench import project
from workbench.account_numbers import CARD, IBAN, LEAST_CARD, PAST_CARDS, compact_iban, digits_of, is_card, is_iban
from workbench.model import Json, Record, Skip, Span, Value
from workbench.reading.documents import Listed, listed, parse_json
from workbench.secret_names import Names, is_plural

KINDS = ("secret", "card", "iban", "email")
DEFAULT_KINDS = ("secret", "card", "iban")
ENTRIES = frozenset({"enabled", "kinds", "keys", "patterns"})
PSEUDONYM_DIGITS = 12
KEY_BYTES = 32
REMEMBERED_TEXTS = 4096
REMEMBERED_CHARACTERS = 16 * 1024
LONGEST_PLACEHOLDER = 80
SHORT = 256
"""Characters up to which a text is remembered with its key."""
SAID_BY_SPAN = ("name", "status_message")
SAYS_NOTHING = frozenset((bool, type(None)))
"""What can't hold anything that is to be replaced."""
NUMBERS = frozenset((int, float))
LISTS = (list, tuple)
CONTAINERS = (dict, *LISTS)
SCHEME = re.compile(r"(?:basic|bearer|token|digest|apikey|negotiate) +", re.IGNORECASE)
LONG_BEARER = 16
SCHEMA_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
GIVEN = frozenset(("value", "default", "const", "example", "token", "credentials"))
"""Under which names the description of a secret (a JSON schema, an authorisation) may hold it."""

JOINED_BY = re.compile(r"(^|[._])(id|ids|uuid)$|[a-z](Id|ID|Ids)$|checkpoint_ns$|(^|[._])namespace$|^(langgraph_|thread_ts$|idempotency)")
"""Keys whose values are ids: replacing one would tear apart what belongs together."""

EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.[^\W\d_]{2,24}")
PLACEHOLDER = re.compile(
    r"""(?:your|insert|enter|replace)(?:[-_ ][a-z]+)+  |  (?:[a-z]+[-_])*(?:example|placeholder|dummy|sample|fake|mock)(?:[-_][a-z]+)*
    |  <[a-z][a-z _-]{0,60}>  |  \$?\{{1,2}\s?[a-z_][a-z_.]{0,60}\s?\}{1,2}  |  (?-i:\$[A-Z_]+)  |  %(?:\([a-z_]+\))?s
    |  (?:[a-z]{2,8}[-_])*[x*.…•]{3,}  |  none|null|undefined  |  user(?:name)?:pass(?:word)?""",
    re.IGNORECASE | re.VERBOSE,
)
"""What stands where a secret would: the word for one, a variable, a row of x. None holds a digit, so that no real key passes for one."""

OUTLINE = bytes.maketrans(string.digits.encode() + string.ascii_letters.encode(), b"0" * 10 + b"A" * 52)
GROUPED_BY = b" -" + "\u00a0\u202f".encode()
"""What `outline` makes of a byte, and which it leaves out."""


@dataclass(frozen=True)
class Shape:
    """What one kind of value looks like, or the group `value` of it; `valid` is its checksum, `spelled` makes all spellings of one value the same.

    A text that in lower case has none of `hints`, or whose outline does not have all of `outlined`, can't hold one, which is quicker to see than to look
    for the pattern.
    """

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    valid: Callable[[str], bool] = bool
    outlined: tuple[bytes, ...] = ()
    spelled: Callable[[str], str] = str

    def may_be_in(self, lower: str) -> bool:
        """Whether a text, given in lower case, has one of the hints."""
        return not self.hints or any(hint in lower for hint in self.hints)

    def found(self, match: re.Match[str]) -> str | None:
        """The value in a match of the pattern, None where it is none by its checksum, or stands for one."""
        value = match[self.group]
        return None if value.startswith("[redacted") or is_placeholder(value) or not self.valid(value) else value

    @property
    def group(self) -> str | int:
        """The group of the pattern that is the value."""
        return "value" if "value" in self.pattern.groupindex else 0


def outline(content: bytes) -> bytes:
    """A text of which only the build is left: 0 for a digit, A for a letter, and none of what long numbers are grouped by."""
    return content.translate(OUTLINE, GROUPED_BY)


def is_placeholder(value: str) -> bool:
    """Whether a value only shows where a secret goes, such as `YOUR_API_KEY`, `<token>`, `${PASSWORD}` or `sk-xxxx`."""
    return len(value) <= LONGEST_PLACEHOLDER and PLACEHOLDER.fullmatch(value.strip("\"'` ")) is not None


def _is_basic(text: str) -> bool:
    """Whether a text is a user and a password as HTTP's Basic scheme writes them (RFC 7617)."""
    try:
        return b":" in base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return False


def _is_bearer(text: str) -> bool:
    """Whether what follows `Bearer` is a token and no word."""
    return len(text) >= LONG_BEARER or re.search(r"\d", text) is not None


def _address(text: str) -> str:
    return text.lower().replace("%40", "@")


def _secret(*hints: str, pattern: str, valid: Callable[[str], bool] = bool, flags: int = 0) -> Shape:
    return Shape("secret", hints, re.compile(pattern, flags), valid)


SHAPES = (
    _secret(
        "-----begin",
        pattern=r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
        flags=re.DOTALL,
    ),
    _secret("sk-", "sk_", "rk_", pattern=r"\b(?:sk-[A-Za-z0-9_-]{20,}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,})"),
    _secret("akia", "asia", pattern=r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    _secret("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", pattern=r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,})"),
    _secret(
        *("glpat-", "hf_", "npm_", "gsk_", "aiza", "xox", "xapp-", "ya29."),
        pattern=r"\b(?:glpat-[\w-]{20,}|(?:hf|npm|gsk)_[A-Za-z0-9]{30,}|AIza[\w-]{35}|xox[abeoprs](?:\.xox[bp])?-[\w-]{10,}|xapp-\d-[\w-]{10,}|ya29\.[\w-]{20,})",
    ),
    _secret("sg.", pattern=r"\bSG\.[\w-]{16,32}\.[\w-]{16,64}"),
    # Twilio's are not looked for by "ske": too many words have it
    _secret("dapi", *(f"sk{digit}" for digit in "0123456789abcdf"), pattern=r"\b(?:dapi|SK)[0-9a-f]{32}(?:-\d)?\b"),  # not by "ske": so many words have it
    _secret(
        *(
            "xai-",
            "tvly-",
            "pplx-",
            "r8_",
            "whsec_",
            "hvs.",
            "shpat_",
            "shpss_",
            "dop_v1_",
            "nrak-",
            "pypi-age",
            "lin_api_",
            "ntn_",
            "lsv2_",
            "pcsk_",
            "nvapi-",
            "age-secret-key-1",
        ),
        pattern=r"\b(?:(?:xai-|tvly-|pplx-|r8_|whsec_|hvs\.|shp(?:at|ss)_|dop_v1_|NRAK-|lin_api_|ntn_|pcsk_|nvapi-)[\w-]{20,}|pypi-AgE(?:IcHlwaS|NdGVzdC5)[\w-]{20,}"
        r"|lsv2_(?:pt|sk)_[\w-]{20,}|AGE-SECRET-KEY-1[A-Z0-9]{40,})",
    ),
    _secret("eyj", pattern=r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    _secret("bearer ", pattern=r"(?i:(?<=bearer ))[A-Za-z0-9._~+/-]{12,}=*", valid=_is_bearer),
    _secret("basic ", pattern=r"(?i:(?<=basic ))[A-Za-z0-9+/]{6,}={0,2}(?![\w+/=])", valid=_is_basic),
    _secret("://", pattern=r"""(?<=://)[^\s/:@"'<>\\]{0,128}:[^\s/@"'<>\\]{1,256}(?=@)"""),
    _secret("://", pattern=r"""\b(?!https?:)[a-z][a-z0-9+]{1,30}://(?P<value>[^\s/:@"'<>\\]{0,128}:(?!\d{1,5}/)[^\s@"'<>\\]{1,256})(?=@)"""),
    _secret("curl ", pattern=r"""\bcurl\b[^\n]{0,400}?\s(?:-u|--user)(?:\s{1,4}|=)["']?(?P<value>[^\s:"']{1,128}:[^\s"']{1,256})"""),
    _secret(":aa", pattern=r"(?<!\d)\d{8,10}:AA[\w-]{33}(?![\w-])"),  # a Telegram bot's
    _secret(
        "mysql",
        pattern=r"""\bmysql(?:dump|admin|import|show|check|binlog)?(?=\s[^\n;|&]{0,400}?(?<=\s)(?:-u(?!ser\b)|--user\b))[^\n;|&]{0,400}?\s-p["']?"""
        r"""(?P<value>(?!\d+:\d|(?:rint|rune|assword|ort|rotocol)\b)[^\s"';|&-][^\s"';|&]{0,255})""",
    ),
    _secret("sig=", "signature=", pattern=r"""(?i:[?&](?:sig|signature|x-(?:amz|goog)-signature)=)(?P<value>[^&\s"'<>\\]{16,})"""),
    Shape("card", (), CARD, is_card, (b"0" * 13,), digits_of),
    Shape("card", (), CARD, is_card, (b"0000.0000.0000.0",), digits_of),
    Shape("iban", (), IBAN, is_iban, (b"0" * 7, b"AA00"), compact_iban),
    Shape("email", ("@", "%40"), EMAIL, spelled=_address),
)
QUOTED_NAME = re.compile(r"""(\\*["'])\s{0,8}:\s{0,8}\Z""")
"""What stands before a number that is the value of a name in quotes: what replaces it needs quotes too."""


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

    def names(self) -> Names:
        """The names whose value is replaced whole."""
        return Names(self.keys, secret="secret" in self.kinds)


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


def counts_told(counts: Mapping[str, int]) -> str:
    """How many values were replaced, by kind, in words: `redacted 3 × secret`; empty where none was."""
    return "redacted " + ", ".join(f"{count:,} × {kind}" for kind, count in sorted(counts.items())) if counts else ""


V = TypeVar("V", bound=Value)
T = TypeVar("T")


class Redactor:
    """Replaces what the rules name, and counts it by kind in `counts`; `replaced`, where it is given, gathers every original with its pseudonym."""

    def __init__(self, rules: Rules, key: bytes, replaced: dict[str, str] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._replaced = replaced
        self._key = key
        self._shapes, self._names = rules.shapes(), rules.names()
        self._cards, self._emails = "card" in rules.kinds, [shape for shape in self._shapes if shape.kind == "email"]
        self._cleaned = lru_cache(REMEMBERED_TEXTS)(self._clean)
        self._cleaned_item = lru_cache(REMEMBERED_TEXTS)(self._clean_item)
        hints = {hint.encode() for shape in self._shapes for hint in shape.hints} | set(self._names.hints)
        self._hints = ahocorasick_rs.BytesAhoCorasick(sorted(hints), implementation=ahocorasick_rs.Implementation.DFA)
        self._outlined = [shape.outlined for shape in self._shapes if shape.outlined]
        self._always = not all(shape.hints or shape.outlined for shape in self._shapes)
        self._clean_items: set[bytes] = set()
        self._clean_pairs: set[tuple[str, str]] = set()
        self._open_names: set[str] = set()
        self._clean_keys: set[str] = set()
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
            changed["events"] = tuple([self._value(event) for event in span.events])
        return changed

    # ---- values

    def _object(self, before: dict[str, Json]) -> dict[str, Json]:
        """An object, redacted; the same one where nothing was replaced."""
        after: dict[str, Json] = {}
        for entry in before.items():
            name, value = entry
            if not value or (kind := type(value)) in SAYS_NOTHING or (kind is str and entry in self._clean_pairs):
                continue  # nearly all
            if kind in NUMBERS and value < LEAST_CARD and name in self._open_names:
                continue
            if (found := self._of(value, name)) is not value:
                after[name] = found
        if "value" in before and (found := self._paired(before)) is not None:
            after["value"] = found
        return {**before, **after} if after else before

    def _paired(self, pair: dict[str, Json]) -> Json:
        """What replaces the value of `{"name": "X-Api-Key", "value": …}`, None where the name is no secret's."""
        name, value = pair.get("name") or pair.get("key"), pair["value"]
        found = self._of(value, name) if isinstance(name, str) and not _is_id(name) else value
        return None if found is value else found

    def _of(self, value: Json, name: str = "") -> Json:
        """A value under a key, redacted; the same object where nothing was replaced."""
        if isinstance(value, str):
            return self._text(value, name)
        if type(value) in NUMBERS:
            return self._number(value, name)
        if isinstance(value, CONTAINERS) and not self._is_open(name) and self._names.hides_all(name):
            return self._whole(value, name)
        if isinstance(value, dict):
            return self._renamed(self._object(value))
        if isinstance(value, LISTS):
            return self._items(value, name)
        return self._value(value) if isinstance(value, Value) else value

    def _items(self, value: Json, name: str) -> Json:
        """A list, redacted: of arguments on a command line, too, of which one names the next, and of headers in pairs."""
        items: list[Json] = []
        option = ""
        for inner in value:
            said = isinstance(inner, str)
            if _is_pair(inner) and self._names.hides_all(inner[0]):
                items.append(type(inner)((inner[0], self._of(inner[1], inner[0]))))
                continue
            items.append(self._of(inner, option if said and option and inner[:1] != "-" else name))
            option = inner.lstrip("-") if said and inner[:1] == "-" and "=" not in inner else ""
        return value if all(map(is_, items, value)) else type(value)(items)

    def _whole(self, value: Json, name: str) -> Json:
        """What stands under the name of a secret: whatever is text or a number in it is replaced, but what only describes a secret is not."""
        if isinstance(value, dict):
            described = value.get("type") in SCHEMA_TYPES or "$ref" in value or "anyOf" in value or name.lower().endswith("authorization")
            after = {key: self._whole(inner, name) if not described or key in GIVEN else self._of(inner, key) for key, inner in value.items()}
            return value if all(after[key] is inner for key, inner in value.items()) else after
        if isinstance(value, LISTS):
            items = [self._whole(inner, name) for inner in value]
            return value if all(map(is_, items, value)) else type(value)(items)
        if isinstance(value, str):
            return self._secret(value) if value else value
        return self._pseudonym("secret", str(value)) if type(value) in NUMBERS and not is_plural(name) else value

    def _number(self, value: float, name: str) -> Json:
        """A number under a key: one that is a card's, or the value of a secret, becomes a text."""
        if not self._is_open(name) and not _is_id(name) and self._names.hides_all(name) and not is_plural(name):
            return self._pseudonym("secret", str(value))
        if self._cards and LEAST_CARD <= value < PAST_CARDS and type(value) is int and not _is_id(name) and is_card(str(value)):
            return self._pseudonym("card", str(value), digits_of)
        return value

    def _renamed(self, value: dict[str, Json]) -> dict[str, Json]:
        """An object whose keys are what people wrote, such as addresses, redacted."""
        if self._clean_keys.issuperset(value):
            return value
        after = {self._text(name, "") if isinstance(name, str) else name: inner for name, inner in value.items()}
        if after.keys() != value.keys():
            return after
        for name in value:
            _remember(self._clean_keys, name)
        return value

    def _value(self, value: V) -> V:
        """A value of the model, redacted: the same object where nothing was replaced."""
        before = value.__dict__
        after = self._object(before)
        return value if after is before else value.made(after)

    def _is_open(self, name: str) -> bool:
        """Whether a name says nothing of its value."""
        if name in self._open_names:
            return True
        if self._names.says(name):
            return False
        if len(name) <= SHORT:
            _remember(self._open_names, name)
        return True

    # ---- texts

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
            return self._without_address(text)
        if not self._is_open(name) and self._names.hides(name, text):
            return self._secret(text)
        parts = listed(text)
        if all(map(self._is_clean, parts.items)) if parts else self._has_no_hint(text.encode("utf-8", "surrogatepass")):
            return text  # messages that each call repeats are looked through once
        if parts and parts.separator is not None:
            return self._listed(text, parts)
        cleaned, found = self._cleaned(text) if len(text) <= REMEMBERED_CHARACTERS else self._clean(text)
        self.counts.update(found)
        return text if cleaned == text else cleaned

    def _listed(self, text: str, parts: Listed) -> str:
        """The text of a JSON list, redacted item by item: those that recur once."""
        done = [self._cleaned_item(item) if len(item) <= REMEMBERED_CHARACTERS else self._clean_item(item) for item in parts.items]
        for _, found in done:
            self.counts.update(found)
        cleaned = (b"[" + (parts.separator or b",").join(item for item, _ in done) + b"]").decode()
        return text if cleaned == text else cleaned

    def _clean_item(self, item: bytes) -> tuple[bytes, Counter[str]]:
        if self._is_clean(item):
            return item, Counter()
        cleaned, found = self._clean(item.decode())
        return cleaned.encode(), found

    def _without_address(self, text: str) -> str:
        """An id without the e-mail address in it, where those are asked for: the same everywhere, so that what it joins stays joined."""
        for shape in self._emails:
            if shape.may_be_in(text):
                text = self._replaced_in(shape, text)
        return text

    def _has_no_hint(self, content: bytes) -> bool:
        """Whether a text can hold nothing that is to be replaced, which is much quicker to see than what it holds."""
        if self._always or self._hints.find_matches_as_indexes(content.lower()):
            return False
        if not self._outlined:
            return True
        build = outline(content)
        return not any(all(part in build for part in parts) for parts in self._outlined)

    def _is_clean(self, item: bytes) -> bool:
        if item not in self._clean_items:
            if not self._has_no_hint(item) and self._clean(item.decode())[1]:
                return False
            _remember(self._clean_items, item)
        return True

    def _clean(self, text: str) -> tuple[str, Counter[str]]:
        """A text without what is to be replaced, and how much of each kind that was."""
        inside = copy.copy(self)  # counts for itself: what is found is remembered with the text
        inside.counts = Counter()
        return inside.rewritten(text), inside.counts

    def rewritten(self, text: str) -> str:
        """A text redacted: as the value it stands for where it is JSON, else as it is written."""
        if text[:1] in ("{", "["):
            try:
                before = parse_json(text)
                after = self._of(before)
                return text if after is before else _written(after, like=text)
            except (ValueError, RecursionError):  # no JSON, or too deep in itself
                self.counts.clear()
        return self._in_plain(text)

    def _in_plain(self, text: str) -> str:
        lower = text.lower()
        for shape in self._shapes:
            if shape.may_be_in(lower):
                text = self._replaced_in(shape, text)
        content = text.encode("utf-8", "surrogatepass")
        pieces, done = [], 0
        for named in self._names.find(content):
            secret = content[named.start : named.end].decode("utf-8", "surrogatepass")
            pieces += [content[done : named.start], named.quote + self._secret(secret).encode("utf-8", "surrogatepass") + named.quote]
            done = named.end
        return b"".join([*pieces, content[done:]]).decode("utf-8", "surrogatepass") if pieces else text

    def _replaced_in(self, shape: Shape, text: str) -> str:
        """A text without what one shape matches."""

        def replaced(match: re.Match[str]) -> str:
            value = shape.found(match)
            if value is None:
                return match[0]
            start, end = match.span(shape.group)
            named = QUOTED_NAME.search(text, max(0, start - SHORT), start) if shape.kind == "card" else None
            quote = named[1] if named else ""
            return text[match.start() : start] + quote + self._pseudonym(shape.kind, value, shape.spelled) + quote + text[end : match.end()]

        return shape.pattern.sub(replaced, text)

    # ---- pseudonyms

    def _secret(self, text: str) -> str:
        """What replaces the value of a secret; HTTP's word for what kind of one it is stays, and so does a placeholder."""
        scheme = SCHEME.match(text)
        kept = scheme[0] if scheme else ""
        value = text[len(kept) :]
        return text if is_placeholder(value) or not value else kept + self._pseudonym("secret", value)

    def _pseudonym(self, kind: str, text: str, spelled: Callable[[str], str] = str) -> str:
        """The pseudonym of a value: what kind it was, and digits that are the same for the same value, however it is spelled."""
        if text.startswith("[redacted"):
            return text
        self.counts[kind] += 1
        digits = hmac.new(self._key, spelled(text).encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:PSEUDONYM_DIGITS]
        pseudonym = f"[redacted {kind} {digits}]"
        return pseudonym if self._replaced is None else self._replaced.setdefault(text, pseudonym)


def _is_pair(value: Json) -> bool:
    return isinstance(value, LISTS) and len(value) == len(("name", "value")) and all(isinstance(one, str) for one in value)


def _written(value: Json, *, like: str) -> str:
    """The JSON of a value, with the spaces and escapes that a text uses."""
    compact = not re.search(r'"\s*: ', like)
    return json.dumps(value, ensure_ascii=like.isascii(), separators=(",", ":") if compact else (", ", ": "))


def _remember(known: set[T], value: T) -> None:
    if len(known) >= REMEMBERED_TEXTS:
        known.clear()
    known.add(value)


@lru_cache(REMEMBERED_TEXTS)
def _is_id(name: str) -> bool:
    return JOINED_BY.search(name) is not None
