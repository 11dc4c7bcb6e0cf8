"""Secrets by the name they stand under: which names those are, and where their values stand in a text of any make.

A text may be JSON or a part of it, code, a command line, an environment file, YAML, a header, an address, a connection string or XML. It is looked
through once, from one name to the next, and no look goes further than a bound, so that no text takes long. Positions are those of the UTF-8 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import ahocorasick_rs

Holds = Literal["secret", "token", "directory", ""]
"""What a name says of its value: a secret; one if it looks like it (`token`); one if it's no path (`pwd`); nothing."""

KEYS_OF: tuple[str, ...] = ("api", "access", "secret", "private", "account", "storage", "encryption", "signing", "master", "ssh", "subscription", "application")
KEYS_OF += ("service_role", "shared_access", "secret_access")
TOKENS_OF = ("access", "refresh", "auth", "bearer", "session", "id", "security", "api", "bot", "csrf", "xsrf")
SAYS_SECRET = re.compile(
    rf"""(?:password|passwd|passphrase|secrets?|credentials?|(?:(?:^|_)(?:{"|".join(KEYS_OF)})|api)_?key|(?:^|_)(?:{"|".join(TOKENS_OF)})_?token|authorization|cookies?
    |(?:^|_)(?:db|database|smtp|mysql|pg|postgres|redis|ftp|admin|root|user|mail|proxy)_pass)
    (?:_?(?:\d+|confirm(?:ation)?|repeat|again|new|old|hash|value|text|plain(?:text)?|raw|b64|base64|prod|production|dev|test|testing|staging|live))?\Z""",
    re.VERBOSE,
)
"""The end of a name whose value is a secret, in snake case. What follows further says that it is about one: `password_policy`, `api_key_id`."""
PAGES = re.compile(r"(?:page|next|previous|prev|continuation|pagination|cursor|sync|resume|stop|start|end|eos|bos|pad|unk|special)_token")
PATH = re.compile(r"[/~.\\]|[A-Za-z]:[\\/]")
SPELLED = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[- ]")
ASKS = re.compile(r"(?:is|has|had|uses?|needs?|requires?|accepts?|show|hide|forgot|reset)_")
MANY = ("secrets", "credentials", "cookies")
LEAST_TOKEN, LEAST_BARE = 20, 6
NAME_CHARACTERS = 64
"""How far a name is looked for before and after the word that is found in it."""
QUOTED_CHARACTERS, DEEPEST = 8192, 16

STEMS = tuple(
    sorted(
        {"passw", "passphrase", "pwd", "secret", "credential", "authorization", "cookie", "_pass=", "_pass:", '_pass"', "_pass'"}
        | {kind.replace("_", joint) + joint + "key" for kind in KEYS_OF for joint in ("", "_", "-", " ")}
        | {"token" + end for end in ("=", ":", " =", " :", '"', "'", "\\", ">", "]")}
        | {"-token ", "auth token", "access token"}
    )
)
"""A text with none of these in lower case holds no secret under its name, which is quicker to see than to search for all names."""
FOLLOWERS = b"=: \"'\\>]"
_WORD = re.compile(rb"[A-Za-z0-9_.-]*\Z")
_REST = re.compile(rb"[A-Za-z0-9_-]{0,64}")
_BETWEEN = re.compile(
    rb"""(?P<quote>\\*["'`])?\]?[ \t]{0,8}(?P<sign>[:=]=?>?)[ \t]{0,8}            # name: value, "name": value, x["name"] = value
    |    (?P<pair>\\*["']),\s{0,8}\\*["']value\\*["']\s{0,8}:\s{0,8}             # "name": "X-Api-Key", "value": "x"
    |    (?P<argument>\\*["'],\s{0,8}(?=\\*["']) | [ \t]{1,8})                   # "--name", "value" or --name value""",
    re.VERBOSE,
)
_TAG = re.compile(rb"(?:\s[^<>]{0,64})?>")
_OPENING = re.compile(rb"""[bru]?(\\*)(["'`])""")
_QUOTE = re.compile(rb"""(\\*)(["'`\n])""")
_SCHEME = re.compile(rb"(?:basic|bearer|token|digest|apikey|negotiate)[ ]{1,4}", re.IGNORECASE)
_BARE = re.compile(rb"""[^\s"'`<>&;,(){}\[\]\\|]{1,1024}""")
_IN_PROSE = re.compile(rb"""(?:(?!&&|&(?:[a-z]{2,5}|\#\w{1,6});)[&;,](?![\w.-]{1,64}[ \t]{0,8}[:=])[^\s"'`<>&;,(){}\[\]\\|]{1,1024}){1,16}""")
"""What goes on after a `&`, `;` or `,` of a value in prose: not the next field, nor what HTML writes for a character."""
_LINE = re.compile(rb"""[^\s"'`\\]{1,1024}""")
_COOKIES = re.compile(rb"""[^\s;"'=\\]{1,128}=[^"'\r\n\\]{1,1024}""")
_ELEMENT = re.compile(rb"[^<>]{1,1024}(?=</)")
_DOTTED = re.compile(rb"\$?[a-z_]+(?:(?:\.|->|::)[A-Za-z_]+)+|\$[a-z_]+")
_NUMBER = re.compile(rb"-?[0-9]{1,32}(?:\.[0-9]{1,32})?(?=[\s,}\]]|\Z)")
_ENDS = b"}]"
_OPENS = (b"(", b"[", b"{")
_SCHEMA = re.compile(rb"""["'](?:type|description|anyOf|\$ref)\\*["']\s*:""")
_BRACKETS = re.compile(rb"""[\[\]{}]""")
_WORDS = frozenset(
    b"""none null nil undefined true false yes no on off str string bytes int integer bool boolean text any object optional required missing invalid incorrect
    wrong expired set unset empty hidden changed reset is are was and or to for with as must can may should the a an in of from not if option flag argument
    parameter variable value field header prompt auth authentication basic bearer ok""".split()
)


@dataclass(frozen=True)
class Named:
    """A secret in a text: its place in the bytes, and the quote to put around what replaces it where the text would else not be JSON any more."""

    start: int
    end: int
    quote: bytes = b""


def snake(name: str) -> str:
    """A name in snake case: `X-Api-Key` as `x_api_key`."""
    return SPELLED.sub("_", name).lower()


def compact(name: str) -> str:
    """A name without what its words are joined by, in which all spellings of it are one."""
    return re.sub(r"[\W_]", "", name).lower()


@lru_cache(4096)
def holds(name: str) -> Holds:
    """What the last part of a dotted name says of its value: `db.user_password`, `OPENAI_API_KEY` and `X-Api-Key` name a secret."""
    last = snake(name.rpartition(".")[2])
    if last.endswith("pwd"):
        return "directory"
    if SAYS_SECRET.search(last):
        return "" if ASKS.match(last) else "secret"
    return "token" if last.endswith("token") and not PAGES.search(last) else ""


def is_secret(name: str, value: str) -> bool:
    """Whether a value is a secret, by the name it stands under and, where the name alone doesn't tell, by its look."""
    told = holds(name)
    return told == "secret" or (told == "token" and looks_random(value)) or (told == "directory" and PATH.match(value) is None)


def looks_random(value: str) -> bool:
    """Whether a value is no word: long, without spaces, of letters and digits."""
    return len(value) >= LEAST_TOKEN and not re.search(r"\s", value) and re.search(r"\d", value) is not None and re.search(r"[A-Za-z]", value) is not None


def is_plural(name: str) -> bool:
    """Whether a number under a name may be how many there are."""
    return snake(name).endswith(MANY)


class Names:
    """Finds what stands under the names of secrets in a text, and under a user's own names."""

    def __init__(self, own: Collection[str], *, secret: bool) -> None:
        self._own = frozenset(map(compact, own))
        self._secret = secret
        spelled = {snake(name).replace("_", joint).encode() for name in own for joint in ("", "_", "-", " ")}
        self.hints = tuple(sorted(spelled | ({stem.encode() for stem in STEMS} if secret else set())))
        self._stems = ahocorasick_rs.BytesAhoCorasick(list(self.hints), ahocorasick_rs.MatchKind.LeftmostLongest, ahocorasick_rs.Implementation.DFA)

    def says(self, name: str) -> bool:
        """Whether a name may say anything of its value."""
        return (self._secret and holds(name) != "") or (bool(self._own) and compact(name.rpartition(".")[2]) in self._own)

    def hides(self, name: str, value: str) -> bool:
        """Whether a value under a name is to be replaced whole."""
        return (self._secret and is_secret(name, value)) or (bool(self._own) and compact(name.rpartition(".")[2]) in self._own)

    def hides_all(self, name: str) -> bool:
        """Whether whatever stands under a name is to be replaced, lists and objects too."""
        return (self._secret and holds(name) == "secret") or (bool(self._own) and compact(name.rpartition(".")[2]) in self._own)

    def find(self, text: bytes) -> Iterator[Named]:
        """The values under such names in a text, from left to right, none within another."""
        done = 0
        for _, start, stem_end in self._stems.find_matches_as_indexes(text.lower()):
            if start < done:
                continue
            end = start + len(text[start:stem_end].rstrip(FOLLOWERS))
            rest = _REST.match(text, end)
            end = rest.end() if rest else end
            before = _WORD.search(text[max(0, start - NAME_CHARACTERS) : start])
            head = start - len(before[0]) if before else start
            found = self._after(text, max(head, done), end)
            if found is not None:
                yield found
                done = found.end

    def _after(self, text: bytes, head: int, end: int) -> Named | None:
        """The value that follows a name which stands from `head` to `end`."""
        name = text[head:end].decode("utf-8", "replace")
        if text[head - 1 : head] == b"<":
            tag = _TAG.match(text, end)
            inside = _ELEMENT.match(text, tag.end()) if tag else None
            found = Named(*inside.span()) if inside else None
        else:
            between = _BETWEEN.match(text, end)
            found = None if between is None or (between["argument"] and not name.startswith("-")) else _value(text, between, name)
        return found if found and self.hides(name.lstrip("-"), text[found.start : found.end].decode("utf-8", "replace")) else None


def _value(text: bytes, between: re.Match[bytes], name: str) -> Named | None:
    start = between.end()
    opening = _OPENING.match(text, start)
    if opening and (closed := _closing(text, opening)) is not None:
        scheme = _SCHEME.match(text, opening.end())
        begin = scheme.end() if scheme and scheme.end() < closed else opening.end()
        return Named(begin, closed) if closed > begin else None
    if opening and (cut := _BARE.match(text, opening.end())):  # the text was cut off in it
        return Named(*cut.span())
    if between["quote"]:
        return _unquoted_json(text, start, between["quote"])
    if between["sign"] in (b":", b"=", b"=>", b":=") or between["argument"]:
        prose = between["sign"] == b":" or (between["sign"] == b"=" and between[0] != b"=")
        return _bare(text, opening.end() if opening else start, name, assigned=between["sign"] != b":", prose=prose)
    return None


def _unquoted_json(text: bytes, start: int, quote: bytes) -> Named | None:
    """A number, list or object under a name in quotes, which gets quotes as it is replaced."""
    if number := _NUMBER.match(text, start):
        return Named(start, number.end(), quote)
    if text[start : start + 1] not in (b"{", b"["):
        return None
    depth = 0
    for bracket in _BRACKETS.finditer(text, start, start + QUOTED_CHARACTERS):
        depth += -1 if bracket[0] in _ENDS else 1
        if depth > DEEPEST:
            return None
        if depth == 0:
            end = bracket.end()
            return Named(start, end, quote) if text[start + 1 : end - 1].strip() and not _SCHEMA.search(text, start, end) else None
    return None


def _closing(text: bytes, opening: re.Match[bytes]) -> int | None:
    """Where a quoted value ends whose quote is escaped as the opening one: in JSON within JSON it has a backslash, in that within JSON three."""
    level, quote = len(opening[1]), opening[2]
    for found in _QUOTE.finditer(text, opening.end(), opening.end() + QUOTED_CHARACTERS):
        if found[2] == b"\n":
            return None
        if found[2] == quote and (len(found[1]) < level or len(found[1]) % (2 * level + 2) == level):
            return found.end() - 1 - min(level, len(found[1]))
    return None


def _bare(text: bytes, start: int, name: str, *, assigned: bool, prose: bool) -> Named | None:
    """A value without quotes. What is a word of a sentence, a type or the name of a variable is none.

    In prose it may hold what parts fields where a machine reads them.
    """
    if scheme := _SCHEME.match(text, start):
        start, assigned = scheme.end(), True
    found = (_COOKIES if "ookie" in name else _LINE if _is_variable(text, start, name) else _BARE).match(text, start)
    if found is None or text[found.end() : found.end() + 1] in _OPENS:
        return None
    value = _of_sentence(found[0], assigned=assigned)
    if not value or _names_what(value):
        return None
    if prose and not is_plural(name) and (further := _IN_PROSE.match(text, found.end())) and text[further.end() : further.end() + 1] not in _OPENS:
        value = _of_sentence(found[0] + further[0], assigned=assigned)
    return Named(start, start + len(value)) if assigned or _stands_alone(text, start + len(value), value) else None


def _of_sentence(value: bytes, *, assigned: bool) -> bytes:
    """A value without the stops of the sentence it ends."""
    return value.rstrip(b".," if assigned else b".:!?,;")


def _names_what(value: bytes) -> bool:
    """Whether a value is a word of a sentence, a type or the name of a variable."""
    return value.lower() in _WORDS or _DOTTED.fullmatch(value) is not None or _names_one(value)


def _is_variable(text: bytes, start: int, name: str) -> bool:
    """Whether a value stands in a line of an environment file, to whose end it goes."""
    return name.isupper() and text[start - 1 : start] == b"="


def _names_one(value: bytes) -> bool:
    """Whether a value is the name of a variable that holds the secret: `password=db_password`."""
    return value.replace(b"_", b"").isalpha() and holds(value.decode()) != ""


def _stands_alone(text: bytes, end: int, value: bytes) -> bool:
    """Whether what follows a colon is a value rather than the beginning of a sentence: it has a digit or `&` in it, or is all of the line."""
    return (len(value) >= LEAST_BARE and re.search(rb"[0-9]|\w&\w", value) is not None) or text[end : end + 1] in (b"", b"\n", b"\r")
