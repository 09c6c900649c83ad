import os
import stat

import pytest

from tocsin_node.errors import SecretError
from tocsin_node.secrets import read_secret, read_secret_at, read_secret_file, write_secret_file


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    return folder


def test_a_secret_comes_from_the_nodes_own_directory(tmp_path, keys):
    write_secret_file(keys / "log", "hush\n")
    assert read_secret(tmp_path, "log", {}) == b"hush"
    assert stat.S_IMODE((keys / "log").stat().st_mode) == 0o600


def test_a_systemd_credential_is_taken_first(tmp_path, keys):
    write_secret_file(keys / "log", "file")
    guarded = tmp_path / "credentials"
    guarded.mkdir()
    (guarded / "log").write_text("credential")
    environment = {"CREDENTIALS_DIRECTORY": str(guarded)}
    assert read_secret(tmp_path, "log", environment) == b"credential"
    assert read_secret_at(keys / "log", credential="other", environment=environment) == b"file"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o620])
def test_a_file_that_others_may_open_is_refused_with_the_remedy(keys, mode):
    file = keys / "log"
    write_secret_file(file, "hush")
    file.chmod(mode)
    with pytest.raises(SecretError, match="Others can read") as refused:
        read_secret_file(file)
    assert refused.value.hint == f"Take their rights away: chmod 600 {file}"


def test_a_missing_empty_or_huge_secret_is_refused(keys):
    with pytest.raises(SecretError, match="no secret at"):
        read_secret_file(keys / "absent")
    write_secret_file(keys / "empty", " \n")
    with pytest.raises(SecretError, match="is empty"):
        read_secret_file(keys / "empty")
    write_secret_file(keys / "huge", "x" * 70_000)
    with pytest.raises(SecretError, match="far too large"):
        read_secret_file(keys / "huge")
    with pytest.raises(SecretError):
        read_secret_file(keys)


def test_no_error_repeats_the_secret(keys):
    write_secret_file(keys / "log", "hush")
    with pytest.raises(SecretError) as refused:
        write_secret_file(keys / "log", "other")
    assert "other" not in repr(refused.value) + str(refused.value)
    assert read_secret_file(keys / "log") == b"hush"


def test_an_open_umask_does_not_open_the_file(keys):
    before = os.umask(0)
    try:
        write_secret_file(keys / "log", "hush")
    finally:
        os.umask(before)
    assert stat.S_IMODE((keys / "log").stat().st_mode) == 0o600
