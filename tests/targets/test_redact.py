"""No text that is redacted holds a key, in whatever encoding it was repeated."""

import base64
import html
import importlib.util
import json
import string
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldburst.redact import MARK, PART, WITHHELD, redact

KEY = "rpa_Q8/sT3vX+Zk91mLwP0aYb7Nc"


def _base64(offset, encode=base64.b64encode):
    return lambda text: encode(b"user:"[:offset] + text.encode() + b"."[: offset % 2]).decode()


ENCODINGS = {
    "plain": str,
    "json, slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json, unicode": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "json, every other": lambda text: "".join(f"\\u{ord(char):04X}" if at % 2 else char for at, char in enumerate(text)),
    "javascript, braces": lambda text: "".join(f"\\u{{{ord(char):x}}}" for char in text),
    "hexadecimal escapes": lambda text: "".join(f"\\x{ord(char):02x}" for char in text),
    "octal escapes": lambda text: "".join(f"\\{ord(char):03o}" for char in text),
    "percent": lambda text: urllib.parse.quote(text, safe=""),
    "percent, all": lambda text: "".join(f"%{code:02X}" for code in text.encode()),
    "percent, unicode": lambda text: "".join(f"%u{ord(char):04x}" for char in text),
    "quoted printable": lambda text: "".join(f"={ord(char):02X}" for char in text),
    "entities": html.escape,
    "entities, decimal": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "entities, hexadecimal": lambda text: "".join(f"&#x{ord(char):X};" for char in text),
    "tags": "<b></b>".join,
    "two tags": lambda text: f"{text[:5]}<wbr>{text[5:]}",
    "comments": "<!-- x -->".join,
    "spaces": " ".join,
    "hyphens": "-".join,
    "line breaks": "\n".join,
    "zero width": "\u200b".join,
    "full width": lambda text: "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text),
    "upper case": str.upper,
    "lower case": str.lower,
    "utf-16 le": lambda text: text.encode("utf-16-le").decode("latin-1"),
    "utf-16 be": lambda text: text.encode("utf-16-be").decode("latin-1"),
    "utf-16 bom": lambda text: text.encode("utf-16").decode("utf-8", errors="replace"),
    "utf-32": lambda text: text.encode("utf-32-le").decode("latin-1"),
    "base64": _base64(0),
    "base64, second offset": _base64(1),
    "base64, third offset": _base64(2),
    "base64, user": _base64(5),
    "base64, url": _base64(0, base64.urlsafe_b64encode),
    "base64, no padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 of utf-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "base64, lines": lambda text: base64.encodebytes(text.encode() * 3).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal, colons": lambda text: text.encode().hex(":"),
    "hexadecimal, prefixes": lambda text: ", ".join(hex(code) for code in text.encode()),
    "codes": lambda text: str(list(text.encode())),
}
# Encodings that another one can wrap: what they yield is plain ASCII.
WRAPS = ("json, slashes", "json, unicode", "percent", "percent, all", "entities, decimal", "base64", "tags")
KEYS = st.text(string.ascii_letters + string.digits + "_-/+=.", min_size=16, max_size=60).filter(
    lambda key: sum(map(str.isalnum, key)) >= PART
)
AROUND = st.sampled_from(["", "no: ", "<html><p>", '{"error": "', "Authorization: Bearer ", "Ünglück ", "50% of a&b \\n ", "a=1;"])


SPEC = importlib.util.find_spec("coldburst.redact")


def knowing(*keys):
    """The module as in a new process, which has been told these keys."""
    module = importlib.util.module_from_spec(SPEC)
    SPEC.loader.exec_module(module)
    for key in keys:
        module.remember(key)
    return module


def shown(text, key):
    """Whether a reader of ``text`` finds a part of the key in it."""
    return any(key[at : at + PART].lower() in text.lower() for at in range(len(key) - PART + 1))


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_key_in_each_encoding_is_removed(name):
    encoded = ENCODINGS[name](KEY)
    found = knowing(KEY).redact(f"401: {encoded} is not valid")
    assert encoded not in found
    assert found == WITHHELD or (MARK in found and found.endswith("is not valid"))


@pytest.mark.parametrize("outer", WRAPS)
def test_an_encoding_in_another_one_is_undone_too(outer):
    module = knowing(KEY)
    for inner, encode in ENCODINGS.items():
        if (outer, inner) not in {("tags", "tags"), ("tags", "comments"), ("base64", "zero width"), ("base64", "full width")}:
            encoded = ENCODINGS[outer](encode(KEY))
            assert encoded not in module.redact(f"say {encoded} again"), inner


@given(key=KEYS, name=st.sampled_from(sorted(ENCODINGS)), before=AROUND, after=AROUND)
def test_no_key_survives_whatever_is_around_it(key, name, before, after):
    encoded = ENCODINGS[name](key)
    found = knowing(key).redact(before + encoded + after)
    assert not shown(found, key)
    assert encoded not in found


@given(
    key=KEYS,
    begin=st.integers(0, 60),
    length=st.integers(PART, 60),
    name=st.sampled_from(["plain", "json, unicode", "percent, all", "tags"]),
)
def test_eight_characters_of_a_key_count_as_the_key(key, begin, length, name):
    part = key[begin % (len(key) - PART) :][:length]
    if name == "tags" and sum(map(str.isalnum, part)) < PART:
        return
    assert ENCODINGS[name](part) not in knowing(key).redact(f"no: {ENCODINGS[name](part)}!")


@given(st.text(max_size=300))
def test_other_texts_stay_as_they_are(text):
    assert knowing("rpa_0000000000000000000000000000").redact(text) == text


def test_an_ordinary_error_keeps_its_words_around_a_key():
    module = knowing(KEY, "k1")
    redact = module.redact
    assert redact(f"Bearer {KEY}, k1") == f"Bearer {MARK}, {MARK}"
    assert redact(f"part {KEY[3:15]} of it") == f"part {MARK} of it"
    assert redact("and v2", ("v2", ""), mark="…") == "and …"
    assert module.redact_columns({"error": KEY, "polls": 3, "worker_id": "w-" + KEY}) == {
        "error": MARK,
        "polls": 3,
        "worker_id": f"w-{MARK}",
    }


def test_without_keys_nothing_is_read():
    assert knowing().redact("x" * 10_000) == "x" * 10_000


@pytest.mark.parametrize(
    "text",
    ["GET http://store/b/k?X-Amz-Signature=0a1b2c&X-Amz-Date=1 failed", "x-amz-signature%3D0a1b2c", '{"X-Amz-Security-Token=0a1b2c"}'],
)
def test_the_signature_of_a_presigned_url_is_removed(text):
    assert "0a1b2c" not in redact(text)
    assert ("X-Amz-Date=1 failed" in redact(text)) == ("Date" in text)
