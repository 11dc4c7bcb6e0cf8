"""Numbers of payment cards and bank accounts: what one looks like, whose it is, how long it is, and its check digits.

Ranges and lengths of cards are the issuers' own (ISO/IEC 7812), lengths of IBANs those of the SWIFT registry (ISO 13616).
"""

from __future__ import annotations

import re

GAP = r"[ \u00a0\u202f-]"
CARD = re.compile(rf"(?<![\w.+-])[2-6]\d{{3}}(?:\d{{9,15}}|({GAP}|\.)(?:\d{{4}}\1\d{{4}}\1\d{{1,4}}(?:\1\d{{1,3}})?|\d{{6}}\1\d{{4,5}}))(?![\w-]|[.,]\d)")
"""Digits in one, or in the groups that are printed on a card."""
LONG = frozenset(range(16, 20))
ISSUERS = (
    ("4", "4", frozenset({13, 16, 19})),  # Visa
    ("34", "34", frozenset({15})),  # American Express
    ("37", "37", frozenset({15})),
    ("51", "55", frozenset({16})),  # Mastercard
    ("2221", "2720", frozenset({16})),
    ("300", "305", frozenset({14, 16})),  # Diners Club
    ("309", "309", frozenset({14, 16})),
    ("36", "36", frozenset({14, 16})),
    ("38", "39", frozenset({14, 16})),
    ("3528", "3589", LONG),  # JCB
    ("6011", "6011", LONG),  # Discover
    ("644", "659", LONG),
    ("62", "62", LONG),  # UnionPay
    *((first, first, LONG) for first in ("5018", "5020", "5038", "5893", "6304", "6759", "6761", "6762", "6763")),  # Maestro
)
"""The first digits of an issuer's numbers, from and to, and how many digits they have."""
LEAST_CARD, PAST_CARDS = 10**12, 10**19

COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FO GL NL SD FK",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
"""The countries whose IBANs have so many characters."""
IN_DIGITS = "AE AT BA BE BI CR CZ DE DK DJ EE EG ES FI FO HR HU IL IS LT LY ME MN MR NO PL PT RS SD SE SI SK SO ST TL TN VA XK"
"""The countries whose IBANs hold digits alone after the country's letters: so that hexadecimal ids, of which many begin as theirs do, are none."""
IBAN_LENGTHS = {country: length for length, countries in COUNTRIES.items() for country in countries.split()}
LEAST_DIGITS = 8
"""An IBAN has more digits than this: text with fewer is words."""
MIXED_CASE = re.compile(r"[A-Z].*[a-z]|[a-z].*[A-Z]")


def _iban_of(country: str) -> str:
    """The pattern of a country's IBANs, in groups of four or in one."""
    held = r"\d" if country in IN_DIGITS else "[A-Z0-9]"
    groups, rest = divmod(IBAN_LENGTHS[country] - len("BE68"), 4)
    return rf"{country}\d\d(?:{GAP}?{held}{{4}}){{{groups}}}" + (rf"{GAP}?{held}{{{rest}}}" if rest else "")


IBAN = re.compile(rf"(?<![A-Z0-9])(?=[A-Z]{{2}}\d\d)(?:{'|'.join(map(_iban_of, IBAN_LENGTHS))})(?![A-Z0-9])", re.IGNORECASE | re.ASCII)


def is_card(text: str) -> bool:
    """Whether digits, in groups or not, are a payment card's number: of an issuer's range and length, with its check digit, and not one digit alone."""
    digits = digits_of(text)
    return _issued(digits) and len(set(digits)) > 1 and luhn(digits)


def luhn(text: str) -> bool:
    """Whether the last of some digits is their check digit (ISO/IEC 7812)."""
    doubled = [sum(divmod(2 * int(one), 10)) if place % 2 else int(one) for place, one in enumerate(reversed(digits_of(text)))]
    return sum(doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether a text is an IBAN by its country's length and its check digits (ISO 7064, MOD 97-10)."""
    compact = compact_iban(text)
    if len(compact) != IBAN_LENGTHS.get(compact[:2]) or sum(map(str.isdigit, compact)) <= LEAST_DIGITS or MIXED_CASE.search(text):
        return False
    return int("".join(str(int(one, 36)) for one in compact[4:] + compact[:4])) % 97 == 1


def digits_of(text: str) -> str:
    """The digits alone, as which a card's number is the same however it is written."""
    return "".join(filter(str.isdigit, text))


def compact_iban(text: str) -> str:
    """An IBAN without what groups it, in capitals."""
    return "".join(filter(str.isalnum, text)).upper()


def _issued(digits: str) -> bool:
    """Whether an issuer gives out numbers that begin so and are so long."""
    return any(least <= digits[: len(least)] <= most and len(digits) in lengths for least, most, lengths in ISSUERS)
