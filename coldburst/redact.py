"""Removes API keys from texts that services send, in whatever encoding they repeat them. Standard library only.

``redact`` is applied to decoded text, before it enters a row, an event, a log or a page. A key in plain text is replaced by MARK. Where
only a decoded form of the text holds a key, the whole text is withheld. Eight characters of a key count as the key.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

MARK = "[key]"
# No word of it has eight letters, which could be a part of a key.
WITHHELD = "[text with an encoded key]"
# So many characters of a key count as the key.
PART = 8
# Characters of a text that are kept; a cell of a row has 200.
LONGEST = 4000
# Encodings within encodings that are undone, and decoded forms of one text that are searched.
_ROUNDS, _MOST_FORMS = 3, 64
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-f]+)\}|u([0-9a-f]{4})|x([0-9a-f]{2})|([0-7]{3})|(.))", re.IGNORECASE | re.DOTALL)
_PERCENT = re.compile(r"%u([0-9a-f]{4})|[%=]([0-9a-f]{2})", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{11,}")
_HEX = re.compile(r"(?:(?:0x|\\x)?[0-9a-f]{2}[\s,:;-]*){8,}", re.IGNORECASE)
_CODES = re.compile(r"(?:\b\d{2,3}\b[\s,;]*){8,}")
# Decoded bytes that hold no text are not searched: eight characters of ASCII, also in UTF-16.
_TEXT = re.compile(rb"(?:[\s -~]\x00{0,3}){8}")
# What signs a presigned URL of S3; anyone who has it can fetch the object.
_SIGNED = re.compile(r"(X-Amz-(?:Signature|Credential|Security-Token)(?:=|%3D))[^&\s\"'<>]+", re.IGNORECASE)
_OTHERS = re.compile(r"[^a-z0-9]+")

# The longest first: one may contain another.
_secrets: list[str] = []


def remember(secret: str) -> None:
    """Has ``redact`` remove ``secret`` from now on."""
    if secret and secret not in _secrets:
        _secrets.append(secret)
        _secrets.sort(key=len, reverse=True)
        _redacted.cache_clear()


def redact(text: str, also: Iterable[str] = (), mark: str = MARK) -> str:
    """At most LONGEST characters of ``text``, without the remembered keys; ``also``: more secrets, removed in plain text only."""
    if _secrets:
        text = _redacted(text[:LONGEST], mark)
    if "-amz-" in text.lower():
        text = _SIGNED.sub(rf"\g<1>{mark}", text)
    for secret in also:
        text = text.replace(secret, mark) if secret else text
    return text


def redact_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with their texts redacted."""
    return {name: redact(value) if isinstance(value, str) else value for name, value in values.items()}


@lru_cache(maxsize=2048)
def _redacted(text: str, mark: str) -> str:
    for secret in _secrets:
        text = text.replace(secret, mark)
    plain = text
    for secret in _secrets:
        plain = _without(plain, secret, mark)
    _, *decoded = _forms(text)
    return WITHHELD if any(_holds(form, secret) for form in (plain, *decoded) for secret in _secrets) else plain


def _without(text: str, secret: str, mark: str) -> str:
    """``text`` with ``mark`` instead of each stretch that consists of parts of ``secret``."""
    size, parts = min(PART, len(secret)), _parts(secret)
    pieces, begin, at = [], 0, 0
    while at <= len(text) - size:
        if text[at : at + size] not in parts:
            at += 1
            continue
        pieces += [text[begin:at], mark]
        while text[at : at + size] in parts:
            at += 1
        begin = at = at + size - 1
    return "".join((*pieces, text[begin:]))


@lru_cache(maxsize=64)
def _parts(secret: str) -> frozenset[str]:
    return frozenset(secret[at : at + PART] for at in range(max(1, len(secret) - PART + 1)))


def _holds(text: str, secret: str) -> bool:
    """Whether ``text`` holds a part of ``secret``, in any case, or with other characters between its letters and digits."""
    found, wanted = text.lower(), secret.lower()
    squeezed, wanted_squeezed = _OTHERS.sub("", found), _OTHERS.sub("", wanted)
    if _contains(found, wanted):
        return True
    return len(wanted_squeezed) >= PART and _contains(squeezed, wanted_squeezed)


def _contains(text: str, secret: str) -> bool:
    size, parts = min(PART, len(secret)), _parts(secret)
    return any(text[at : at + size] in parts for at in range(len(text) - size + 1))


def _forms(text: str) -> Iterator[str]:
    """``text`` and what it may be the encoding of, encodings within encodings included."""
    found = dict.fromkeys([text])
    newest = [text]
    for _ in range(_ROUNDS):
        newest = [form for form in dict.fromkeys(form for old in newest for form in _decoded(old)) if form not in found]
        found |= dict.fromkeys(newest)
        if not newest or len(found) > _MOST_FORMS:
            break
    return iter(found)


def _decoded(text: str) -> Iterator[str]:
    if "\\" in text:
        yield _ESCAPE.sub(_unescaped, text)
    if "%" in text:
        yield unquote(text)
    if "%" in text or "=" in text:
        yield _PERCENT.sub(lambda match: _character(match[1] or match[2], 16), text)
    if "&" in text:
        yield html.unescape(text)
    if "<" in text:
        yield _TAG.sub("", text)
    if not text.isascii():
        yield unicodedata.normalize("NFKC", text)
    for data in _binary("".join(text.split()), text):
        if _TEXT.search(data):
            yield data.decode("latin-1")


def _binary(compact: str, text: str) -> Iterator[bytes]:
    """The bytes that base64 (at each of its four offsets), hexadecimal digits and lists of decimal codes in a text encode."""
    for match in _BASE64.finditer(compact):
        run = match[0].replace("-", "+").replace("_", "/")
        for offset in range(4):
            part = run[offset:]
            part = part[: len(part) - (len(part) % 4 == 1)]
            yield base64.b64decode(part + "=" * (-len(part) % 4))
    for match in _HEX.finditer(text):
        digits = re.sub(r"0x|\\x|[^0-9a-f]", "", match[0], flags=re.IGNORECASE)
        for offset in range(2):
            yield binascii.unhexlify(digits[offset : len(digits) - (len(digits) - offset) % 2])
    for match in _CODES.finditer(text):
        yield bytes(code for code in map(int, re.findall(r"\d+", match[0])) if code < 256)


def _unescaped(match: re.Match[str]) -> str:
    character = _character(match[1] or match[2] or match[3], 16) or _character(match[4], 8)
    return character or (" " if match[5] in "nrtbfv" else match[5])


def _character(digits: str | None, base: int) -> str:
    code = int(digits, base) if digits else 0x110000
    return chr(code) if code < 0x110000 else ""
