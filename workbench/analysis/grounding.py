"""Where what an agent says comes from: the values and words of a text, and an index of which step of a run first brought each.

A text is read as *tokens* in a normal form, so that the same thing written differently stays the same thing: `19 May 2024` and `2024-05-19`,
`https://www.example.com/` and `example.com`, `$1,200.00` and `1200`, `Jane.Doe@Example.com`. What was asked (people's words, system prompts) is
told apart from what was merely read (tool results). Cost is linear in the text; nothing is compared with everything.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

from workbench.analysis.calls import parsed
from workbench.model import Json, Run, Step

Kind = Literal["email", "link", "date", "time", "number", "id", "name", "word"]
MAX_DEPTH, MAX_CHARACTERS, REMEMBERED, REMEMBERED_WHOLE = 20, 200_000, 2_000, 50_000
LONG_NUMBER, LAST_MONTH, YEAR_DIGITS, SHORTEST_STEM = 2, 12, 4, 3
"""How deep arguments and results are read, how many characters of one text (what is beyond says no more about where a value is from),
how long a text whose tokens are remembered, and one whose normal forms are."""


def words(text: str) -> tuple[str, ...]:
    """The words of a table written as running text."""
    return tuple(text.split())


MONTHS = {name: number for number, name in enumerate(words("january february march april may june july august september october november december"), 1)}
MONTHS |= {name[:3]: number for name, number in MONTHS.items()} | {"sept": 9}
MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
EXTENSIONS = "com|org|net|edu|gov|io|ai|co|app|dev|info|biz|me|xyz|site|online|eu|uk|us|de|fr|es|it|nl|ch|cn|jp|in|ru|br|au|ca|pl|se|no|at|be"
FILES = "txt|md|pdf|docx?|xlsx?|pptx?|csv|tsv|json|ya?ml|xml|html?|py|js|ts|sh|sql|zip|tar|gz|png|jpe?g|gif|mp[34]|log|ini|toml|cfg|env|db"
ABBREVIATED = re.compile(r"\b(mr|mrs|ms|dr|st|no|vs|etc|e\.g|i\.e|approx|dept|inc|ltd|co)\.$", re.IGNORECASE)

PATTERN = re.compile(
    rf"""
    (?P<email>(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]++@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)
  | (?P<link>(?:[a-z][a-z0-9+.-]{{1,9}}://|www\.)[^\s"'<>()\[\]{{}}|\\^`]+
      | \b(?:[A-Za-z0-9-]{{1,100}}+\.){{1,8}}(?:{EXTENSIONS}|{FILES})\b(?:/[^\s"'<>()\[\]{{}}|\\^`]*)?)
  | (?P<date>\b\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}(?=\b|T) | \b\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{4}}\b
      | \b(?:{MONTH})\.?\ \d{{1,2}}(?:st|nd|rd|th)?(?:,?\ \d{{4}})?\b | \b\d{{1,2}}(?:st|nd|rd|th)?\ (?:of\ )?(?:{MONTH})\b\.?(?:,?\ \d{{4}})?)
  | (?P<time>\b\d{{1,2}}:\d{{2}}(?::\d{{2}})?(?:\ ?[ap]\.?m\b)? | \b\d{{1,2}}\ ?[ap]\.?m\b)
  | (?P<iban>(?-i:\b[A-Z]{{2}}\d{{2}}(?:\ [A-Z0-9]{{4}}){{2,7}}(?:\ [A-Z0-9]{{1,3}})?\b))
  | (?P<number>(?<![\w.])[-+]?\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?(?![\w]) | (?<![\w.])[-+]?\d+(?:\.\d+)?(?![\w-]|\.\d))
  | (?P<word>[^\W_](?:[\w'’-]*[^\W_])?)
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Each alternative looks at a bounded stretch, or at one that no other place looks at again: whoever writes a trace must not set the time it takes to read."""
STRONG: frozenset[Kind] = frozenset(("email", "link", "date", "id"))
"""Kinds that hardly ever coincide by chance."""
STOP = frozenset(
    words("""a an the this that these those of in on at to for from by with as and or but if then so than is are was were be been being am do does did has have
    had having will would can could shall should may might must it its i me my mine we us our you your yours he him his she her they them their there here
    not no nor any all some each every both either also just only very more most other such own same too into about over under up down out off again once
    who whom whose which what when where why how s t re ve ll d m""")
)


class Token(NamedTuple):
    """One thing a text says, in normal form, and where it stands."""

    kind: Kind
    normal: str
    start: int
    end: int

    @property
    def distinctive(self) -> bool:
        """Whether it names something: a value or a proper name, rather than a word of the language or a small number."""
        return self.kind in STRONG or self.kind in {"name", "time"} or (self.kind == "number" and len(self.normal) > LONG_NUMBER)


def tokens(text: str) -> list[Token]:
    """The tokens of a text in order: values first where they match, else names and words; words are stemmed, stop words left out."""
    return list(_remembered(text) if len(text) <= REMEMBERED else _read(text[:MAX_CHARACTERS]))


@lru_cache(maxsize=4096)
def _remembered(text: str) -> tuple[Token, ...]:
    return tuple(_read(text))


def normals(text: str) -> tuple[str, ...]:
    """The normal forms of a text's tokens, each once, in order. Several detectors ask for those of one run one after the other, so they are remembered."""
    return _normals(text) if len(text) <= REMEMBERED_WHOLE else _distinct(text)


@lru_cache(maxsize=512)
def _normals(text: str) -> tuple[str, ...]:
    return _distinct(text)


def _distinct(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(token.normal for token in tokens(text)))


def _read(text: str) -> Iterator[Token]:
    for match in PATTERN.finditer(text):
        token = _word(match.group(), match.start(), text) if match.lastgroup == "word" else _value(match)
        if token is not None:
            yield token


def _value(match: re.Match[str]) -> Token | None:
    kind, said, start = str(match.lastgroup), match.group(), match.start()
    if kind == "iban":
        return Token("id", said.replace(" ", "").lower(), start, match.end())
    normal = {"email": _email, "link": link, "date": _date, "time": _time, "number": _number}[kind](said)
    return Token(kind, normal, start, match.end()) if normal else None  # type: ignore[arg-type]  # the groups of PATTERN are named after kinds


def _word(said: str, start: int, text: str) -> Token | None:
    kind, normal = _root(said)
    if kind != "word":
        return Token("id", normal, start, start + len(said)) if kind == "id" else None
    if not said[0].isupper() or len(said) == 1:
        return Token("word", normal, start, start + len(said))
    before = text[max(0, start - 2) : start].strip()
    name = bool(before or start) and before[-1:] not in ".!?:-#*>"
    return Token("name" if name else "word", normal, start, start + len(said))


@lru_cache(maxsize=1 << 16)
def _root(said: str) -> tuple[Literal["id", "word", "stop"], str]:
    """What a word is: an id if it holds a digit, a stop word, else its stem."""
    folded = fold(said)
    if any(one.isdigit() for one in folded):
        return "id", folded
    return ("stop", "") if folded in STOP else ("word", stem(folded))


def fold(text: str) -> str:
    """Lower case without accents and compatibility forms, so that look-alikes in another alphabet width are the same."""
    if text.isascii():
        return text.lower()
    return "".join(one for one in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(one))


def stem(word: str) -> str:
    """A word without its commonest English endings; crude on purpose, as it only has to treat both sides alike."""
    for ending, kept in (("'s", 1), ("’s", 1), ("ies", 3), ("ations", 4), ("ation", 4), ("ings", 3), ("ing", 3), ("ers", 3), ("ed", 3), ("es", 3), ("s", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= kept and not word.endswith("ss"):
            word = word[: -len(ending)] + ("y" if ending == "ies" else "")
            break
    return word[:-1] if len(word) > SHORTEST_STEM and word.endswith("e") else word


def link(said: str) -> str:
    """An address without scheme, `www.` and what merely follows it in a sentence; the same for a file's name."""
    bare = re.sub(r"^[a-z][a-z0-9+.-]*://", "", said.strip(), flags=re.IGNORECASE).rstrip(".,;:!?/'\"")
    return re.sub(r"^www\.", "", bare, flags=re.IGNORECASE).lower()


def _email(said: str) -> str:
    return said.lower().rstrip(".")


def _date(said: str) -> str:
    """ISO date; `--05-19` where the year isn't said. A day above 12 decides which of `5/19/2024` and `19/5/2024` is meant, else the month is first."""
    numbers = [int(one) for one in re.findall(r"\d+", said)]
    named = re.search(rf"\b({MONTH})\b", said, re.IGNORECASE)
    if named:
        day, year = numbers[0], numbers[1] if len(numbers) > 1 else None
        month = MONTHS[named.group().lower()]
    elif said[:YEAR_DIGITS].isdigit():
        year, month, day = numbers[:3]
    else:
        month, day, year = numbers[:3]
        month, day = (day, month) if month > LAST_MONTH else (month, day)
    return f"{year}-{month:02}-{day:02}" if year else f"--{month:02}-{day:02}"


def _time(said: str) -> str:
    hour, minute = ([int(one) for one in re.findall(r"\d+", said)] + [0])[:2]
    half = said.lower().replace(".", "").strip()
    if half.endswith("pm"):
        hour = hour % 12 + 12
    elif half.endswith("am"):
        hour %= 12
    return f"{hour:02}:{minute:02}"


def _number(said: str) -> str:
    bare = said.replace(",", "").lstrip("+")
    return (bare.rstrip("0").rstrip(".") if "." in bare else bare) or "0"


def leaves(value: Json, path: str = "$", depth: int = 0) -> Iterator[tuple[str, str]]:
    """The texts in a JSON value with their paths; numbers as text, a string that itself holds JSON as what it says."""
    value = parsed(value) if depth < MAX_DEPTH else value
    if depth >= MAX_DEPTH or value is None:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}", depth + 1)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{number}]", depth + 1)
    elif not isinstance(value, bool):
        yield path, value if isinstance(value, str) else str(value)


class Sentence(NamedTuple):
    """A sentence of a text and where it starts."""

    text: str
    start: int


BREAK = re.compile(
    r"""(?<=[.!?…])["'”’)\]]*\s+ | (?<=[\u3002\uff01\uff1f])\s* | (?<=[a-z%)][.!?])(?=[A-Z][A-Za-z]*[\s:]) | [;\uff1b]\s+ | \n\s*\n
    | \n(?=\s*(?:[-*•#>]|\d+[.)]|[\w -]{1,30}:(?:\s|$)|</?\w)) | (?<=>)\n | \n(?=[A-Z"'<]) | ['"],\s*(?=['"][\w -]+['"]\s*:)""",
    re.VERBOSE,
)
"""Stops (of Chinese and Japanese too), blank lines, list items, fields, markup, and the quotes between the fields of an object."""


def sentences(text: str) -> list[Sentence]:
    """A text cut where sentences, list items, fields and paragraphs end; a line that merely wraps goes on. Blank ones are left out."""
    text = text[:MAX_CHARACTERS]
    found, start = list[Sentence](), 0
    for match in BREAK.finditer(text):
        if "\n" not in match.group() and ABBREVIATED.search(text, max(0, match.start() - 8), match.start()):
            continue
        found.append(Sentence(text[start : match.start()].strip(), start))
        start = match.end()
    found.append(Sentence(text[start:].strip(), start))
    return [one for one in found if any(character.isalnum() for character in one.text)]


@dataclass
class Grounding:
    """Which tokens a run has brought so far: what it was `told` by people and system prompts, and what it has `read`, each with the first step."""

    told: dict[str, int] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)

    def tell(self, text: str, step: int) -> None:
        """Add what a person or a system prompt said."""
        for normal in normals(text):
            self.told.setdefault(normal, step)

    def see(self, result: Json, step: int) -> None:
        """Add what a tool brought."""
        for _, text in leaves(result):
            for normal in normals(text):
                self.read.setdefault(normal, step)

    def source(self, token: Token) -> int | None:
        """The first step that brought a token, told or read; None where nothing did. A date without a year is the same day of any year."""
        found = [index[normal] for normal in _variants(token) for index in (self.told, self.read) if normal in index]
        return min(found, default=None)

    def was_told(self, token: Token) -> bool:
        """Whether a person or a system prompt said it."""
        return any(normal in self.told for normal in _variants(token))


def _variants(token: Token) -> tuple[str, ...]:
    if token.kind == "date" and not token.normal.startswith("--"):
        return (token.normal, f"--{token.normal[5:]}")
    return (token.normal,)


def trusted(step: Step) -> Iterable[str]:
    """What a step brings that the agent may act on: a person's words, and the system and user messages a model was given."""
    if step.kind == "human":
        yield from (text for _, text in leaves(step.result))
        yield from [step.output.content] if step.output else []
    yield from (message.content for message in step.messages if message.role in {"system", "user"})


def grounded(run: Run) -> Iterator[tuple[Step, Grounding]]:
    """Each step with what the run had brought before it. The grounding is one growing value: use it before going on."""
    so_far, known = Grounding(), set[str]()
    for step in run.steps:
        for text in trusted(step):
            if text not in known:
                known.add(text)
                so_far.tell(text, step.index)
        yield step, so_far
        if step.kind in {"tool", "retrieval"}:
            so_far.see(step.result, step.index)
            if step.error:
                so_far.see(step.error, step.index)
