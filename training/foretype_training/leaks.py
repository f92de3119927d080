"""Secrets in files: keys, tokens and passwords, which no model must learn.

They are found by detect-secrets, in its maintained fork `bc-detect-secrets`: tokens of known
forms, passwords in URLs, what is assigned to names such as `password`, and quoted strings that
look random. Hexadecimal strings that look random are no reason, for in source they are hashes.
A few forms that the library does not know stand here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from detect_secrets.core.plugins.initialize import from_plugin_classname
from detect_secrets.filters import allowlist, heuristic
from detect_secrets.plugins.base import BasePlugin
from detect_secrets.plugins.keyword import KeywordDetector
from detect_secrets.util.code_snippet import CodeSnippet, get_code_snippet

from foretype.project import is_for_secrets

_DETECTORS = [
    from_plugin_classname(name)
    for name in (
        "ArtifactoryDetector",
        "AWSKeyDetector",
        "AzureStorageKeyDetector",
        "Base64HighEntropyString",
        "BasicAuthDetector",
        "CloudantDetector",
        "DiscordBotTokenDetector",
        "GitHubTokenDetector",
        "IbmCloudIamDetector",
        "IbmCosHmacDetector",
        "JwtTokenDetector",
        "KeywordDetector",
        "MailchimpDetector",
        "NpmDetector",
        "SendGridDetector",
        "SlackDetector",
        "SoftlayerDetector",
        "SquareOAuthDetector",
        "StripeDetector",
        "TwilioKeyDetector",
    )
]
_TOKENS = {
    "Anthropic API Key": re.compile(r"\bsk-ant-[\w-]{80}"),
    "GitHub Token": re.compile(r"\bgithub_pat_\w{60}"),
    "GitLab Token": re.compile(r"\bgl(?:agent|cbt|dt|ft|oas|pat|ptt|rt|soat)-[\w-]{20}"),
    "Google API Key": re.compile(r"\bAIza[\w-]{35}"),
    "Hugging Face Token": re.compile(r"\bhf_[A-Za-z]{34}"),
    "OpenAI API Key": re.compile(r"\bsk-[\w-]*T3BlbkFJ[\w-]{20}"),
    "PyPI Token": re.compile(r"\bpypi-AgE[\w-]{50}"),
}
"""Of vendors that the library does not know, as they document them."""

_PASSWORD = (
    r"(?:api_?key|access_?key|pass(?:code|phrase|wd|word)|pwd|secret|(?:access|auth)_?token)"
)
_GIVEN = [
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"{_PASSWORD}\w*(?:[\"']\s*,|\s*\()\s*[\"']([^\"'\s]{{8,}})[\"']",  # setPassword("...")
        rf"[\"'][\w.-]*{_PASSWORD}[\"']\s+value\s*=\s*[\"']([^\"'\s]{{8,}})[\"']",
        rf"<[\w:.-]*{_PASSWORD}>([^<\s]{{8,}})</",
        r"\bbearer\s+([\w.~+/=-]{20,})",
    )
]
"""Passwords and tokens that are handed on, not assigned: to a method, in XML, in a header."""

# What a name such as PASSWORD_PROPERTY is given when it is the name of a setting or field.
_NAME = re.compile(r"[a-z ._/-]*(?:key|pass|passwd|pwd|secret|token|word)s?[a-z ._/-]*", re.I)

# A head alone, which every parser of keys holds, is no key: a line of the body must follow,
# in whatever way the language joins the lines of a string. The library's detector takes some
# of these ways only, and opens files by itself.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    r"(?s:.{0,400}?)(?=[A-Za-z+/]{0,39}\d)[A-Za-z0-9+/]{40}"
)

# The detectors take a tenth of a millisecond for a line. All that they find is a long run of
# such characters, quoted or with a digit in it, or stands on a line with one of these words.
_CANDIDATE = re.compile(
    r"[\"'`:=]\s*[\w+/=\\-]{20}"
    r"|(?=[a-z_+/=\\-]{0,19}\d)[\w+/=\\-]{20}"
    r"|(?:key|pass|pwd|token|secret|contrase).*[\"'`:=]"
    r"|[\"'`].*(?:key|pass|pwd|token|secret|contrase)"
    r"|<[\w:.-]*(?:key|pass|pwd|token|secret)|bearer"
    r"|://|akc|artif|jfrog|buildkit|eyj|hf_|xox|private key",
    re.ASCII,
)
_PIECE, _OVERLAP = 1_000, 200
"""Characters. Some detectors take quadratic time, so longer lines are looked at in pieces."""


ALLOW = "pragma: allowlist secret"
"""The comment that ends a line which is not looked at; detect-secrets' own."""

Found = dict[str, list[int]]
"""The lines, from 1 on, by the kind of secret; no line where the file's name says it all."""


def secrets(path: str, text: bytes) -> Found:
    """What a file of UTF-8 holds that may be a secret, in the order of its lines; empty where
    nothing was found.

    A line that ends in the comment `pragma: allowlist secret`, or that follows a line
    `pragma: allowlist nextline secret`, is passed over.
    """
    if is_for_secrets(PurePath(path).name):
        return {"File for Secrets": []}
    whole = text.decode().replace("\r\n", "\n")
    lines = whole.split("\n")
    keys = {whole.count("\n", 0, key.start()) for key in _PRIVATE_KEY.finditer(whole)}
    found: Found = {}
    for number, line in enumerate(lines):
        pieces = [piece for piece in _pieces(line) if _CANDIDATE.search(piece.lower())]
        if not pieces:
            continue
        around = get_code_snippet(lines, number + 1)
        if allowlist.is_line_allowlisted(path, line, around):
            continue
        kinds = {kind for piece in pieces for kind in _in_piece(path, piece.strip(), around)}
        for kind in sorted(kinds | ({"Private Key"} if number in keys else set())):
            found.setdefault(kind, []).append(number + 1)
    return found


def told(found: Found) -> str:
    """For people; says nothing of the secrets themselves."""
    return ", ".join(
        kind
        + (f" in line {lines[0]}" if lines else "")
        + (f" and {len(lines) - 1} more" if len(lines) > 1 else "")
        for kind, lines in found.items()
    )


def _pieces(line: str) -> list[str]:
    starts = range(0, max(1, len(line) - _OVERLAP), _PIECE - _OVERLAP)
    return [line[start : start + _PIECE] for start in starts]


def _in_piece(path: str, piece: str, around: CodeSnippet) -> Iterator[str]:
    yield from (kind for kind, token in _TOKENS.items() if token.search(piece))
    given = (value for form in _GIVEN for value in form.findall(piece))
    if any(_is_mixed(value) for value in given):
        yield "Password or Token"
    for detector in _DETECTORS:
        found = detector.analyze_line(path, piece, context=around)
        if any(_is_meant(secret.secret_value or "", piece, detector) for secret in found):
            yield detector.secret_type


def _is_mixed(value: str) -> bool:
    """Whether it has letters and digits, as few of the stand-ins in tests, and is not put in."""
    mixed = re.search(r"\d", value) and re.search(r"[a-z]", value, re.IGNORECASE)
    return mixed is not None and not heuristic.is_templated_secret(value)


def _is_meant(secret: str, line: str, detector: BasePlugin) -> bool:
    """Whether it may be a secret: not an alphabet, an identifier, a name, or what is read
    from elsewhere."""
    if isinstance(detector, KeywordDetector) and (
        heuristic.is_indirect_reference(line) or _NAME.fullmatch(secret)
    ):
        return False
    return not (
        heuristic.is_sequential_string(secret)
        or heuristic.is_potential_uuid(secret)
        or heuristic.is_likely_id_string(secret, line, detector)
        or heuristic.is_templated_secret(secret)
        or heuristic.is_prefixed_with_dollar_sign(secret)
        or heuristic.is_not_alphanumeric_string(secret)
    )
