import dataclasses

import pytest


@pytest.fixture
def challenges(settings, tmp_path):
    settings.MAILSUITE = dataclasses.replace(settings.MAILSUITE, data=tmp_path)
    folder = tmp_path / "acme" / ".well-known" / "acme-challenge"
    folder.mkdir(parents=True)
    (folder / "tok-en_1").write_text("tok-en_1.thumbprint")
    (tmp_path / "secret.key").write_text("secret")
    return folder


def test_a_challenge_is_answered(client, challenges):
    answer = client.get("/.well-known/acme-challenge/tok-en_1")
    assert (answer.status_code, answer.content) == (200, b"tok-en_1.thumbprint")


@pytest.mark.parametrize("token", ["other", "..", "%2e%2e", "..%2f..%2f..%2fsecret.key", ".", "tok-en_1%00", "%0a"])
def test_anything_else_is_not_found(client, challenges, token):
    assert client.get(f"/.well-known/acme-challenge/{token}").status_code == 404
