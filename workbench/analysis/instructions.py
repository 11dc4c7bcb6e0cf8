"""Which sentences of a text ask their reader to do something, what they ask for, and how a tool's name says what it does.

Only general signs are read: a verb in the imperative, a duty put on the reader ("you must", "make sure to"), a word to an agent about its task or its
instructions. Verbs are put into a few families of acts, so that "drop Bob a line" and `send_direct_message` meet. English is read best; the commonest
verbs of some other languages are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from workbench.analysis.grounding import Sentence, Token, fold, sentences, stem, tokens, words

ACTS: dict[str, str] = {
    "send": """send email mail message dm text forward post share write reply respond notify tell inform contact submit publish tweet upload transmit deliver
        distribute leak report ping broadcast drop attach enviar envia envie envoyer envoie envoyez senden sende schicken schicke manda invia inviare verstuur
        escribe ecris ecrivez schreibe scrivi""",
    "pay": """transfer pay wire remit deposit refund donate withdraw purchase buy order charge reimburse transferir transfiere transfere transferez virer vire
        uberweise uberweisen bezahle zahle paga pagar payez paie compra kaufe achete""",
    "visit": """visit browse open navigate go access click fetch get read load check download see look retrieve view scan crawl watch visita visitar visitez
        besuche besuchen offne abre abrir ouvre ouvrez apri lee lies lisez leggi bezoek""",
    "delete": """delete remove erase wipe destroy trash cancel clear purge kick unsubscribe uninstall kill revoke eliminate terminate ban elimina eliminar borra
        borrar supprime supprimer supprimez losche loschen entferne cancela cancella verwijder apaga""",
    "create": """create add make schedule book reserve insert generate register append arrange plan open draft build crea crear cree creez erstelle erstellen
        reserva reservar reservez buche buchen anade ajoute ajoutez prenota agenda""",
    "update": """update change modify edit alter set adjust reset replace rename move enable disable turn switch unlock lock mark assign configure raise lower
        cambia cambiar modifica modificar change changez andere andern aktualisiere actualiza modifiez imposta wijzig""",
    "invite": "invite add grant join allow authorize authorise give permit promote share admit invita invitar invitez lade einladen",
    "run": "run execute call invoke use install start launch deploy trigger perform activate restart ejecuta executez fuhre esegui",
    "find": "search find list collect gather concatenate copy extract summarize summarise compile look query busca cherche cherchez suche cerca",
    "say": """say tell mention state recommend answer output print claim include repeat declare convince praise endorse suggest respond reply write explain
        describe advise remind emphasize emphasise insist urge encourage promote di diga dis dites sage antworte responde repondez recomienda recommandez
        empfiehl raccomanda""",
}
"""Families of acts and the verbs that ask for one; accents left out."""
NOUNS: dict[str, str] = {
    "send": "email mail message post comment reply notification sms channel tweet dm inbox",
    "pay": "money payment transaction payout transfer refund invoice bank",
    "visit": "webpage website url page link browser http web site file document content",
    "create": "event booking reservation appointment meeting",
    "update": "password settings profile setting permission info",
    "invite": "invitation member access",
    "delete": "deletion removal",
    "run": "command shell code script",
}
"""What names of tools and arguments are made of besides verbs."""
AMBIGUOUS = frozenset(
    words("""email mail message text post share report order book access transfer contact plan check list mark use look copy view watch load open call run
    start state answer claim reply charge deposit refund purchase wire drop set lock change visit design search query scan order turn switch move
    clear draft schedule register deliver output print comment link attach include note permit promote clear lower raise cancel
    agenda cambia cerca di dis lies vire""")
)
"""Verbs that are as often nouns, or words of another language: an imperative only before what a verb takes."""
OBJECT = re.compile(
    r"""\W*(the|a|an|my|your|our|his|her|their|this|that|these|those|all|every|each|any|to|it|them|me|us|him|one|some|as|out|up|into|for|from|in|on|at|if
    |el|la|los|las|le|les|un|une|der|die|das|den|einen|eine|il|lo|o|os|que|no|only|both|with|back|over)\b""",
    re.IGNORECASE | re.VERBOSE,
)
LEADING = re.compile(
    r"""(?:[\s\W_]+ | </?[\w\s-]+>  | (?:[A-Za-z][\w-]*\s){0,3}?[A-Za-z][\w-]*\s*:\s
    | (?:please|kindly|first(?:ly)?|then|next|also|now|finally|afterwards|instead|just|do|and|but|so|immediately|always|hey|hi|hello|ok|okay
      |important(?:ly)?|urgent(?:ly)?|todo|note|reminder|attention|simply|quickly|actually|secondly|lastly|before\ that|after\ that|let's
      |por\ favor|bitte|s'il\ vous\ plait|per\ favore)\b)""",
    re.IGNORECASE | re.VERBOSE,
)
DUTY = re.compile(
    r"""\b(?:please|kindly|you\s+(?:must|should|shall|need\s+to|have\s+to|ought\s+to|are\s+(?:to|required\s+to|instructed\s+to|asked\s+to)|will\s+need\s+to)
    |(?:can|could|would|will)\s+you(?:\s+please)?|(?:make|be)\s+sure\s+(?:to|you|that\s+you)|remember\s+to|(?:don't|do\s+not)\s+forget\s+to
    |(?:want|need|asks?|like|requires?|instruct|expect)\s+(?:you|the\s+\w+)\s+to|it\s+is\s+(?:important|necessary|vital|essential|critical)\s+(?:to|that\s+you)
    |task\s+is\s+to|(?:must|have\s+to|need\s+to|needs\s+to)|do|proceed\s+to|start\s+by|begin\s+by|go\s+ahead\s+and)\s+(?:\w+ly\s+|also\s+|first\s+|now\s+|then\s+)*""",
    re.IGNORECASE | re.VERBOSE,
)
LABEL = re.compile(r"\b(?:to-?do|task|action|instructions?|request|reminder|urgent|important|note|p\.?s\.?)\s*[:!]+\s*(?:please\s+)?", re.IGNORECASE)
SUBORDINATE = re.compile(r"(?:before|after|once|when|whenever|while|until|if|since|as|in\s+order\s+to|to|for)\b", re.IGNORECASE)
JOINED = re.compile(r"(?:\b(?:and|then|or|afterwards?)|[,;:.)])\s+(?:also\s+|then\s+|please\s+|finally\s+|first\s+|and\s+|do\s+)*", re.IGNORECASE)
WORD = re.compile(r"[^\W\d_](?:[\w'’-]*\w)?")
TO_AGENT = re.compile(
    r"""\b(?:ignore|disregard|forget|override|bypass|instead\s+of)\b.{0,40}\b(?:\w{0,3}nstruction|prompt|task|rule|guideline|previous|prior|above|everything)
    |\b(?:previous|prior|above|new|following|your|these|system)\s+(?:\w+\s)?(?:instruction|prompt|directive|order)s?\b|\bsystem\s+prompt\b
    |\b(?:language\s+model|ai\s+(?:assistant|agent|model)|assistant|chatbot|llm|gpt|claude|gemini|llama)\b
    |\b(?:before|after|until|once)\s+(?:you\s+)?(?:\w+\s){0,3}(?:solv|complet|finish|continu|proceed|do\ that|start)\w*\b
    |\b(?:original|current|initial|main|user(?:'s)?|given)\s+(?:task|request|question)\b
    |\btask\s+(?:that\s+)?i\s+gave\b|\bwithout\s+(?:asking|telling|informing|notifying|mentioning|confirm)\w*|\bdo\s+not\s+(?:tell|inform|mention|ask|reveal|alert)\b
    |\b(?:important|urgent|critical)\b\s*(?:message|instruction|notice|update|!|:)|\bon\s+behalf\s+of\s+the\s+user\b|\bfollowing\s+(?:first|steps?|tasks?|actions?)\b""",
    re.IGNORECASE | re.VERBOSE,
)


def _families(table: dict[str, str]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for family, listed in table.items():
        for word in words(listed):
            found.setdefault(stem(word), set()).add(family)
    return {word: frozenset(families) for word, families in found.items()}


VERB_FAMILIES = _families(ACTS)
NAME_FAMILIES = {word: VERB_FAMILIES.get(word, frozenset()) | nouns for word, nouns in _families(NOUNS).items()} | {
    word: verbs | _families(NOUNS).get(word, frozenset()) for word, verbs in VERB_FAMILIES.items()
}
BASE_FORMS = frozenset(word for words in ACTS.values() for word in words.split())


@dataclass(frozen=True)
class Instruction:
    """A sentence that asks for something: its verbs in order, the families of acts they belong to, its tokens, and whether it speaks to an agent."""

    text: str
    start: int
    verbs: tuple[str, ...]
    families: frozenset[str]
    tokens: tuple[Token, ...]
    to_agent: bool


def instructions(text: str) -> tuple[Instruction, ...]:
    """The sentences of a text that ask their reader to do something."""
    return _instructions(text)


@lru_cache(maxsize=1024)
def _instructions(text: str) -> tuple[Instruction, ...]:
    return tuple(found for sentence in sentences(text) if (found := _instruction(sentence)))


def _instruction(sentence: Sentence) -> Instruction | None:
    verbs = _asked(sentence.text)
    to_agent = TO_AGENT.search(sentence.text) is not None
    if not verbs:
        return None
    families = frozenset(family for verb in verbs for family in VERB_FAMILIES.get(stem(verb), ()))
    return Instruction(sentence.text, sentence.start, tuple(verbs), families, tuple(tokens(sentence.text)), to_agent)


def _asked(text: str) -> list[str]:
    """The verbs a sentence asks for: at its start, after a duty, and, where there is one, after a comma or an *and*."""
    start = 0
    while match := LEADING.match(text, start):
        start = match.end()
    places = [start, *(match.end() for match in DUTY.finditer(text)), *(match.end() for match in LABEL.finditer(text))]
    if SUBORDINATE.match(text, start) or TO_AGENT.search(text):
        places += [match.end() for match in JOINED.finditer(text, start)]
    found = [verb for place in places if (verb := imperative(text, place))]
    if found:
        found += [verb for match in JOINED.finditer(text) if (verb := imperative(text, match.end()))]
    return list(dict.fromkeys(found))


def imperative(text: str, place: int) -> str | None:
    """The verb in its base form that stands at a place and takes an object; None where the word there is no verb, or may well be a noun."""
    match = WORD.match(text, place)
    if match is None or (verb := fold(match.group())) not in BASE_FORMS:
        return None
    if text[match.end() : match.end() + 1] in {":", "=", "'", ")", "/"}:
        return None
    return verb if verb not in AMBIGUOUS or _takes_object(text, match.end()) else None


def _takes_object(text: str, place: int) -> bool:
    if OBJECT.match(text, place):
        return True
    following = next(iter(tokens(text[place : place + 60])), None)
    return following is not None and text[place : place + following.start].strip(" '\"“$€£#@*`") == "" and following.distinctive


def name_words(name: str) -> tuple[str, ...]:
    """The words a name in any convention is made of, stemmed: `sendDirectMessage`, `send-direct-message`, `mail.send`."""
    return tuple(stem(fold(word)) for word in re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ")))


def name_families(names: Iterable[str]) -> frozenset[str]:
    """The families of acts that the words of names speak of."""
    return frozenset(family for name in names for word in name_words(name) for family in NAME_FAMILIES.get(word, ()))
