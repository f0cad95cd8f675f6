"""What is masked, and what is not."""

from redaction import masker, secrets_in


def test_a_secret_is_masked_in_the_forms_that_tools_print() -> None:
    mask = masker(['pa/ss "w"', "BEGIN\nline one\nline two\n"])
    shown = ['pa/ss "w"', "pa%2Fss%20%22w%22", 'pa/ss \\"w\\"', "BEGIN\\nline one\\nline two\\n", "line two"]
    assert [mask(f"<{text}>") for text in shown] == ["<***>"] * len(shown)
    assert mask("https://u:x@h/ line") == "https://***@h/ line"


def test_of_two_secrets_the_longer_goes_first_and_tiny_ones_are_left() -> None:
    assert masker(["abcd", "abcdef", "x"])("abcdef abcd x") == "*** *** x"
    assert masker([""])("nothing") == "nothing"


def test_secrets_are_known_by_their_keys() -> None:
    creds = {
        "host": "h",
        "password": "p",
        "port": 1,
        "tunnel_method": {"ssh_key": "k", "tunnel_host": "t"},
        "token_uri": "https://example.org",
        "tokens": ["a", 2],
        "secret": None,
    }
    assert sorted(secrets_in(creds)) == ["2", "a", "k", "p"]
