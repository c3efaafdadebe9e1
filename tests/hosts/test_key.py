import os
from pathlib import Path

import pytest

from evoae_cli.errors import UsageError
from evoae_cli.hosts.address import Address
from evoae_cli.hosts.key import key_for, make_key, own_key_file, read_key

HERE, ELSEWHERE = Address("127.0.0.1", 7077), Address("192.168.1.5", 7077)


def test_a_new_key_is_long_random_and_its_owners_alone(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    old = os.umask(0)
    try:
        make_key(one)
        make_key(other)
    finally:
        os.umask(old)
    assert one.stat().st_mode & 0o777 == 0o600
    assert len(read_key(one)) == 64
    assert read_key(one) != read_key(other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]


def test_a_key_that_hosts_have_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key"
    make_key(path)
    before = read_key(path)
    with pytest.raises(UsageError, match=f"^{path} exists; "):
        make_key(path)
    assert read_key(path) == before
    with pytest.raises(UsageError, match="cannot be written"):
        make_key(tmp_path / "no" / "key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o777])
def test_a_key_that_others_may_use_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    make_key(path)
    path.chmod(mode)
    with pytest.raises(
        UsageError, match=rf"^key file {path} may be used by others \(mode {mode:04o}\).*chmod 600 {path}$"
    ):
        read_key(path)


@pytest.mark.parametrize(("content", "size"), [(b"", "0"), (b"short\n", "5"), (b"x" * 5000, "more than 1024")])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes, size: str) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(UsageError, match=f"has {size} characters"):
        read_key(path)


def test_a_missing_key_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read \(No such file or directory\); make one: evoae key"):
        read_key(tmp_path / "none")
    with pytest.raises(UsageError, match="cannot be read"):
        read_key(tmp_path)


def test_one_host_alone_has_a_key_of_its_users_own_which_is_made_once(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    key = key_for(None, [HERE], environ)
    assert own_key_file(environ).stat().st_mode & 0o777 == 0o600
    assert key_for(None, [HERE], environ) == key


def test_a_key_in_the_home_of_nobody_cannot_be_read() -> None:
    with pytest.raises(UsageError, match=r"^key file ~nosuchuser/key cannot be read \(No such file"):
        key_for(None, [ELSEWHERE], {"EVOAE_KEY_FILE": "~nosuchuser/key"})


def test_another_host_needs_a_key_that_is_given(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    with pytest.raises(UsageError, match=r"^192\.168\.1\.5:7077 can be reached by other hosts, .*--key-file FILE"):
        key_for(None, [HERE, ELSEWHERE], environ)
    assert not own_key_file(environ).exists()
    given, named = tmp_path / "given", tmp_path / "named"
    make_key(given)
    make_key(named)
    environ["EVOAE_KEY_FILE"] = str(named)
    assert key_for(given, [ELSEWHERE], environ) == read_key(given)
    assert key_for(None, [ELSEWHERE], environ) == read_key(named)
