from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from mailsuite import secrets


def test_root_secret_is_made_once_and_private(tmp_path):
    path = tmp_path / "data" / "secret.key"
    made = secrets.read_or_make_root(path)
    assert len(made) >= 43
    assert path.stat().st_mode & 0o777 == 0o600
    assert secrets.read_or_make_root(path) == made
    assert [one.name for one in path.parent.iterdir()] == ["secret.key"]


def test_first_starts_at_once_agree_on_one_secret(tmp_path):
    path = tmp_path / "secret.key"
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        made = set(pool.map(secrets.read_or_make_root, [path] * 16))
    assert made == {path.read_text().strip()}


def test_each_use_has_a_key_of_its_own():
    keys = {secrets.derive(root, use) for root in ("one", "two") for use in ("django", "srs")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}


def test_fields_open_under_the_current_and_the_old_secret():
    sealed = secrets.FieldCipher(["old"]).encrypt("private key")
    assert "private key" not in sealed
    rotated = secrets.FieldCipher(["new", "old"])
    assert rotated.decrypt(sealed) == "private key"
    assert rotated.opens(sealed)
    assert rotated.encrypt("x").startswith(secrets.key_id("new") + ":")


def test_a_field_of_another_installation_is_an_error():
    sealed = secrets.FieldCipher(["theirs"]).encrypt("private key")
    ours = secrets.FieldCipher(["ours"])
    assert not ours.opens(sealed)
    with pytest.raises(secrets.SecretError, match="another MAILSUITE_SECRET_KEY"):
        ours.decrypt(sealed)


def test_empty_stays_empty():
    cipher = secrets.FieldCipher(["root"])
    assert cipher.encrypt("") == ""
    assert cipher.decrypt("") == ""
