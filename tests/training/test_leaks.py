"""What is taken for a secret, and what is not."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretype_training import leaks
from foretype_training.leaks import secrets, told

_random = random.Random(1)


def _drawn(characters: str, count: int) -> str:
    """A key like a real one that opens nothing, and that no scan of this file can find."""
    return "".join(_random.choices(characters, k=count))


_WORD = string.ascii_letters + string.digits
_BODY = "\n".join(_drawn(_WORD + "+/", 64) for _ in range(12))
_KEYS = {
    "AWS Access Key": "AKIA" + _drawn(string.ascii_uppercase + string.digits, 16),
    "Anthropic API Key": "sk-ant-" + _drawn(_WORD, 90),
    "GitHub Token": "ghp_" + _drawn(_WORD, 36),
    "GitLab Token": "glpat-" + _drawn(_WORD, 20),
    "Google API Key": "AIza" + _drawn(_WORD, 35),
    "Hugging Face Token": "hf_" + _drawn(string.ascii_letters, 34),
    "OpenAI API Key": f"sk-{_drawn(_WORD, 20)}T3BlbkFJ{_drawn(_WORD, 20)}",
    "PyPI Token": "pypi-AgE" + _drawn(_WORD, 60),
    "Slack Token": f"xoxb-{_drawn(string.digits, 12)}-{_drawn(_WORD, 24)}",
    "Stripe Access Key": "sk_live_" + _drawn(_WORD, 24),
}


def _class(*lines: str) -> bytes:
    return "\n".join(["class A {", *(f"    {line}" for line in lines), "}", ""]).encode()


@pytest.mark.parametrize("kind", _KEYS)
def test_tokens_are_known_by_their_form(kind: str) -> None:
    assert secrets("A.java", _class(f'String name = of("{_KEYS[kind]}");'))[kind] == [2]
    assert kind in secrets("notes.md", f"Use {_KEYS[kind]} for now.\n".encode())


@pytest.mark.parametrize(
    "line",
    [
        'private static final String PASSWORD = "correct horse";',
        'String apiKey = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";',
        'if ("hunter2".equals(x) || "hunter2" == password) {}',
        f'static final String KEY = "{_drawn(_WORD, 32)}";',
        'String url = "jdbc:mysql://root:hunter2@db.internal/shop";',
    ],
)
def test_passwords_and_random_strings_in_code_are_found(line: str) -> None:
    assert list(secrets("A.java", _class("int a;", line)).values()) == [[3]]


@pytest.mark.parametrize(
    "line",
    [
        'source.setPassword("tR0ub4dor&3x");',
        'builder.withPassword( "tR0ub4dor3x9LkQ" )',
        'settings.put("db.password", "tR0ub4dor3x9LkQ");',
        '<property name="password" value="tR0ub4dor3x9LkQ"/>',
        "<password>tR0ub4dor3x9LkQ</password>",
        f'header("Authorization: Bearer {_drawn(string.hexdigits, 40)}");',
    ],
)
def test_passwords_that_are_handed_on_are_found(line: str) -> None:
    assert secrets("A.java", _class("int a;", line)) == {"Password or Token": [3]}


@pytest.mark.parametrize(
    "line",
    [
        'source.setPassword("password");',
        "source.setPassword(password1);",
        'settings.put("password", System.getenv("DB_PASSWORD_2"));',
        '<property name="password" value="${db.password2}"/>',
        "<password>secret</password>",
        'map.put("key", "value1234");',
    ],
)
def test_names_and_stand_ins_are_none(line: str) -> None:
    assert not secrets("A.java", _class(line))


def test_in_settings_a_password_needs_no_quotes() -> None:
    assert secrets("db.properties", b"user = root\npassword = hunter2\n")
    assert not secrets("A.java", _class("this.password = password;"))


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_private_keys_are_found_however_they_are_written(kind: str, end: str) -> None:
    head = f"-----BEGIN {kind}PRIVATE KEY-----"
    pem = f"{head}\nProc-Type: 4,ENCRYPTED\n\n{_BODY}\n-----END {kind}PRIVATE KEY-----\n"
    plus = ' +\n    "'.join(f'{line}\\n"' for line in [head, *_BODY.split("\n")])
    for text in (pem, f'String KEY = "{plus};\n', f'String KEY = """\n{pem}""";\n'):
        line = 1 + text[: text.index("BEGIN")].count("\n")
        assert secrets("A.java", text.replace("\n", end).encode())["Private Key"] == [line]
    block = f"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 2\n\n{_BODY}\n"
    assert "Private Key" in secrets("key.txt", block.encode())


@pytest.mark.parametrize(
    "line",
    [
        'private static final String BEGIN = "-----BEGIN RSA PRIVATE KEY-----";',
        'String alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";',
        'assertEquals("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", sha1("test"));',
        'String id = "123e4567-e89b-12d3-a456-426614174000";',
        "String password = request.getParameter(name);",
        "private final AbstractAutowireCapableBeanFactory abstractAutowireCapableBeanFactory1;",
        'String url = "https://example.com/a/path:8080/with@sign";',
        "// password: see the manual",
        'static final String PASSWORD_PROPERTY = "mail.smtp.password";',
        'static final String PRIVATE_KEY = "PRIVATE KEY";',
        'String name = "org/apache/commons/lang3/builder/ReflectionToStringBuilder";',
    ],
)
def test_what_only_looks_like_one_is_not_a_secret(line: str) -> None:
    assert secrets("A.java", _class(line)) == {}


def test_a_comment_says_that_a_line_holds_none() -> None:
    key = f'String KEY = "{_KEYS["AWS Access Key"]}";'
    assert secrets("A.java", _class(key))
    assert not secrets("A.java", _class(f"{key} // {leaks.ALLOW}"))
    assert not secrets("A.java", _class("// pragma: allowlist nextline secret", key))
    assert not secrets("A.java", _class("// pragma: allowlist nextline secret\r", key))
    [lines] = secrets("A.java", _class(f"{key} // {leaks.ALLOW}", key)).values()
    assert lines == [3]


def test_files_for_secrets_are_known_by_name() -> None:
    assert secrets("config/.env", b"A=b\n") == {"File for Secrets": []}
    assert told(secrets("id_rsa", b"text\n")) == "File for Secrets"


def test_what_is_told_names_kind_and_line_but_not_the_secret() -> None:
    lines = [f'a("{_KEYS["GitHub Token"]}");', "", f'b("{_KEYS["Google API Key"]}");']
    found = secrets("A.java", _class(*lines, *lines))
    del found["Base64 High Entropy String"]
    assert told(found) == "GitHub Token in line 2 and 1 more, Google API Key in line 4 and 1 more"


_PATTERNS = [
    pattern
    for detector in leaks._DETECTORS  # pyright: ignore[reportPrivateUsage]
    for pattern in getattr(detector, "denylist", ())
] + list(leaks._TOKENS.values())  # pyright: ignore[reportPrivateUsage]


@given(st.data())
def test_a_line_in_which_a_detector_finds_a_token_is_given_to_it(data: st.DataObject) -> None:
    """What chooses lines knows all detectors, those of another version of the library too."""
    pattern = data.draw(st.sampled_from(_PATTERNS))
    drawn = st.from_regex(pattern, alphabet=st.characters(codec="ascii"))
    token = data.draw(drawn).replace("\n", "")
    line = f'String name = "{token}";'
    if pattern.search(line):
        assert leaks._CANDIDATE.search(line.lower())  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("text", ["token ", '"token', '"', "a1", 'key="', "://a:b", "= ", "x\n"])
def test_no_text_takes_longer_than_its_length_says(text: str) -> None:
    """Such lines took detectors quadratic time, minutes for this one."""
    assert isinstance(secrets("A.java", (text * 200_000)[:200_000].encode()), dict)


def test_a_secret_anywhere_in_a_long_line_is_found() -> None:
    key = f'"{_KEYS["GitHub Token"]}"'
    for place in range(700, 1100, 13):
        assert "GitHub Token" in secrets(
            "A.js", b"f(x);" * (place // 5) + key.encode() + b";" * 999
        )
