"""`tocsin init` says at once what other nodes would refuse later, in the words of the command line."""

import pytest

from tocsin_node.settings.loading import load


@pytest.mark.parametrize("org", ["", " ", " Acme", "a\nb"])
def test_a_name_that_is_none_is_said_in_words_of_the_command_line(tocsin, home, org):
    result = tocsin("init", str(home.path / "node"), "--org", org)
    assert result.exit_code == 2
    assert "--org" in result.stderr
    assert "node.toml" not in result.stderr
    assert not (home.path / "node").exists()


@pytest.mark.parametrize(
    ("url", "warned"), [("http://tocsin.example.org", True), ("https://tocsin.example.org", False)]
)
def test_a_public_address_without_tls_is_warned_of(tocsin, home, url, warned):
    result = tocsin("init", str(home.path / "node"), "--org", "Acme", "--url", url)
    assert result.exit_code == 0
    assert ("plain http" in result.stderr) is warned


def test_an_encrypted_room_is_one_from_the_first_day(tocsin, home):
    matrix = (
        "--matrix-homeserver",
        "https://hs.example",
        "--matrix-user",
        "@bot:hs.example",
        "--matrix-room",
        "!r:x",
    )
    directory = home.path / "node"
    assert tocsin("init", str(directory), "--org", "Acme", *matrix, "--matrix-encrypted").exit_code == 0
    settings = load(directory, {}).matrix
    assert (settings.encrypted, settings.max_tlp) == (True, "amber")
