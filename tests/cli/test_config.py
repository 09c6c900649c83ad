from pathlib import Path

import pytest

from tocsin_cli.config import find_target, is_loopback, read_private
from tocsin_cli.errors import NodeUnknown, SettingBroken, TokenExposed, TokenMissing, UsageFault


def private(path: Path, text: str = "tk-abc") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text + "\n")
    return path


def node_dir(path: Path, toml: str = "[node]\nhost = '127.0.0.1'\nport = 9001\n") -> Path:
    private(path / "token", "tk-of-dir")
    (path / "node.toml").write_text(toml)
    return path


def find(tmp_path, **given):
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir(exist_ok=True)
    defaults = {"url": None, "directory": None, "token_file": None, "here": nowhere}
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config")} | given.pop("env", {})
    return find_target(**(defaults | given), env=env)


def test_nothing_named_is_said_so(tmp_path):
    with pytest.raises(NodeUnknown, match="not clear which node") as caught:
        find(tmp_path)
    assert "--dir" in caught.value.hint


def test_the_option_beats_the_environment_beats_the_file_beats_the_working_directory(tmp_path):
    token = private(tmp_path / "t")
    here = node_dir(tmp_path / "here")
    config = tmp_path / "config" / "tocsin" / "config.toml"
    private(config, f"url = 'http://127.0.0.1:3'\ntoken_file = '{token}'")
    env = {"TOCSIN_URL": "http://127.0.0.1:2", "TOCSIN_TOKEN_FILE": str(token)}
    assert find(tmp_path, url="http://127.0.0.1:1", env=env, here=here).url == "http://127.0.0.1:1"
    assert find(tmp_path, env=env, here=here).url == "http://127.0.0.1:2"
    assert find(tmp_path, here=here).url == "http://127.0.0.1:3"
    config.unlink()
    assert find(tmp_path, here=here).url == "http://127.0.0.1:9001"


def test_a_directory_gives_address_and_token(tmp_path):
    found = find(tmp_path, directory=node_dir(tmp_path / "n"))
    assert (found.url, found.token) == ("http://127.0.0.1:9001", "tk-of-dir")
    assert "tk-of-dir" not in repr(found)


@pytest.mark.parametrize(
    ("toml", "url"),
    [
        ("[node]\nhost='0.0.0.0'\nport=7", "http://127.0.0.1:7"),
        ("[node]\nhost='::'\nport=7", "http://127.0.0.1:7"),
        ("[node]\nhost='::1'\nport=7", "http://[::1]:7"),
        ("[node]\nport=0\nurl='https://x.example/'", "https://x.example"),
        ("[node]\norg='X'", "http://127.0.0.1:8711"),
        ("", "http://127.0.0.1:8711"),
    ],
)
def test_the_address_follows_from_where_the_node_listens(tmp_path, toml, url):
    assert find(tmp_path, directory=node_dir(tmp_path / "n", toml)).url == url


def test_a_token_in_the_settings_file_is_not_sent_to_another_address(tmp_path):
    token = private(tmp_path / "t")
    private(tmp_path / "config/tocsin/config.toml", f"url = 'http://127.0.0.1:3'\ntoken_file = '{token}'")
    assert find(tmp_path, url="http://127.0.0.1:1").token is None
    assert find(tmp_path, env={"TOCSIN_URL": "http://127.0.0.1:2"}).token is None
    assert find(tmp_path).token == "tk-abc"


def test_paths_in_the_settings_file_are_beside_it(tmp_path):
    node_dir(tmp_path / "config/tocsin/mine")
    private(tmp_path / "config/tocsin/config.toml", "dir = 'mine'")
    assert find(tmp_path).token == "tk-of-dir"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_token_file_that_others_can_read_is_not_used(tmp_path, mode):
    path = private(tmp_path / "t")
    path.chmod(mode)
    with pytest.raises(TokenExposed, match=f"mode {mode:04o}") as caught:
        read_private(path)
    assert f"chmod 600 {path}" in caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"two words\n", b"two\nlines\n", b"caf\xc3\xa9\n", b"x" * 5000, b"a\x1bb\n"]
)
def test_what_is_no_token_is_not_sent(tmp_path, content):
    path = private(tmp_path / "t")
    path.write_bytes(content)
    with pytest.raises(TokenMissing):
        read_private(path)


def test_a_missing_token_file_is_said_so(tmp_path):
    with pytest.raises(TokenMissing, match="There is no token file"):
        find(tmp_path, url="http://127.0.0.1:1", token_file=tmp_path / "none")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "tocsin.example.org",
        "http://",
        "http://x:0/",
        "http://x:99999",
        "http://x/?q=1",
        "http://x/#f",
        "",
    ],
)
def test_what_is_no_address_is_refused(tmp_path, url):
    with pytest.raises((UsageFault, NodeUnknown)):
        find(tmp_path, url=url)


def test_a_password_in_the_address_is_refused_and_not_repeated(tmp_path):
    with pytest.raises(UsageFault) as caught:
        find(tmp_path, url="https://ann:hush@x.example")
    assert "hush" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("text", ["url = 3", "urll = 'http://x'", "url = ", "[node]\nurl = 'x'"])
def test_a_broken_settings_file_is_named(tmp_path, text):
    path = private(tmp_path / "config/tocsin/config.toml", text)
    with pytest.raises(SettingBroken) as caught:
        find(tmp_path)
    assert str(path) in str(caught.value)


def test_a_directory_without_node_toml_is_named(tmp_path):
    with pytest.raises(SettingBroken, match=r"holds no node\.toml"):
        find(tmp_path, directory=tmp_path)


def test_loopback_is_this_machine_only():
    assert is_loopback("http://127.0.0.1:1")
    assert is_loopback("http://localhost:1")
    assert is_loopback("http://[::1]:1")
    assert not is_loopback("http://127.0.0.1.example.org")
    assert not is_loopback("http://10.0.0.1")


def test_only_a_plain_token_file_is_told_to_be_closed(tmp_path):
    plain = tmp_path / "a token"
    plain.write_text("t")
    plain.chmod(0o644)
    for path, mends in ((Path("/dev/null"), False), (plain, True)):
        with pytest.raises(TokenExposed) as refused:
            read_private(path)
        assert (f"chmod 600 '{path}'" in refused.value.hint) is mends


@pytest.mark.parametrize("url", ["http://[", "https://[:]", "https://[x]:8711"])
def test_brackets_around_no_address_are_refused_in_words(tmp_path, url):
    with pytest.raises(UsageFault, match="not the address of a node"):
        find(tmp_path, url=url, token_file=private(tmp_path / "t"))


@pytest.mark.parametrize("toml", ["[node]\nport = " + "9" * 5000, "a = " + "[" * 3000])
def test_a_settings_file_beyond_all_bounds_is_refused_in_words(tmp_path, toml):
    with pytest.raises(SettingBroken, match="not TOML"):
        find(tmp_path, directory=node_dir(tmp_path / "n", toml))
