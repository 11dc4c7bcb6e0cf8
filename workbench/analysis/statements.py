"""What an agent states in words: that it did something, or that something did not work. English; in other languages nothing is read, so nothing is said.

A statement is read sentence by sentence. What is asked, planned, denied, offered or made conditional is no statement that something was done, nor is an
item of a list that says under which conditions something holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from workbench.analysis.effects import ACTS
from workbench.analysis.grounding import stem
from workbench.analysis.instructions import VERB_FAMILIES, name_words

SENTENCE = re.compile(r"(?<=[.!?])\s+")
ITEM = re.compile(r"\s*(?:[-*•–]|\d{1,2}[.)]|[a-z]\))\s")
CONDITIONS = re.compile(
    r"\b(conditions?|criteri(?:a|on)|requirements?|cases?|when(?:ever)?|either|options?|possible|eligible|allow(?:ed|s)|any of|one of)\b", re.IGNORECASE
)
"""What a line says that a list of conditions follows."""
MAX_CHARACTERS = 20_000
IRREGULAR = {"sent": "send", "bought": "buy", "paid": "pay", "written": "write", "withdrawn": "withdraw", "cancelled": "cancel"}
AMBIGUOUS = frozenset(["set", "place", "call", "contact", "ask", "issue", "open", "order", "execute", "request", "reply"])
"""Verbs whose participle says too often that something merely is so."""
OPEN = re.compile(
    r"\?|\b(will|would|can|could|may|might|should|shall|must|if|once|unless|until|before|please|need(s|ed)? to|going to|to be|let me|let['’]?s|want|try|able"
    r"|not|no|never|cannot|un\w+ed|fail(s|ed|ure)?|previously|already|originally|ago|yesterday|was|were|in case|provided that|assuming|whether|when(ever)?"
    r"|according to|(I|we) (see|understand|notice))\b|n['’]t\b|['’]ll\b|\bor\W*$",
    re.IGNORECASE,
)
ADMITS = re.compile(
    r"""\b(errors?|fail(s|ed|ure|ing)?|unable|unsuccessful\w*|problems?|issues?|unfortunately|sorry|apolog\w+|trouble|invalid|missing|denied|refus\w+|reject\w*|declin\w+
    |unavailable|not\ (found|available|possible|able|exist|work|go)\w*|(could|did|does|was|is)\ not|cannot|no\ longer|instead|retry|again|another
    |alternativ\w+
    |correct\w*|fix\w*|adjust\w*|wrong|timed?\ ?out|mistake\w*|incorrect\w*|however|but|except\w*|without|none|nothing|no)\b|n['’]t\b""",
    re.IGNORECASE | re.VERBOSE,
)


def admits(text: str) -> bool:
    """Whether a text owns that something failed, is missing or is done otherwise."""
    return ADMITS.search(text[:MAX_CHARACTERS]) is not None


def claimed_acts(text: str) -> Iterator[tuple[str, str]]:
    """The acts a text says were just done: the verb, such as `book`, and the sentence that says so."""
    for sentence in _stated(text[:MAX_CHARACTERS]):
        match = _claim().search(sentence)
        if match:
            said = next(found for found in match.groups() if found)
            yield _participles()[said.lower()], sentence.strip()


def _stated(text: str) -> Iterator[str]:
    """The sentences that state something as a fact; an item of a list is as open as the line that leads to the list."""
    lead = ""
    for line in text.split("\n"):
        item = ITEM.match(line) is not None
        lead = lead if item or not line.strip() else line
        if not (item and lead.rstrip("*_ ").endswith(":") and (OPEN.search(lead) or CONDITIONS.search(lead))):
            yield from (sentence for sentence in SENTENCE.split(line) if not OPEN.search(sentence))


def concerns(verb: str, tool: str) -> bool:
    """Whether a tool is named after a verb or one of its family, as `modifyProfile` is after `update`: going by the first verb in its name."""
    named = next((families for word in name_words(tool) if (families := VERB_FAMILIES.get(word))), frozenset[str]())
    return stem(verb) in name_words(tool) or not named.isdisjoint(VERB_FAMILIES.get(stem(verb), ()))


@cache
def _participles() -> dict[str, str]:
    """`booked` → `book`, for every verb that acts."""
    return {_participle(verb): verb for verb in ACTS - AMBIGUOUS} | IRREGULAR


def _participle(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    doubles = verb in {"submit", "commit", "remit", "refer", "transfer"} or verb.endswith(("op", "ip"))
    return verb + (verb[-1] if doubles else "") + "ed"


@cache
def _claim() -> re.Pattern[str]:
    verbs = "|".join(sorted(map(re.escape, _participles()), key=len, reverse=True))
    done = r"(?:now|just|also|successfully|both|all)"
    been = rf"\b(?:has|have|is|are) (?:{done} )*(?:been|now) (?:{done} )*({verbs})\b(?! by\b)"
    return re.compile(rf"{been}|\b(?:I|we)(?: have|['’]ve) (?:{done} )*({verbs})\b|\bsuccessfully ({verbs})\b|^\W*({verbs})[.!]", re.IGNORECASE)
