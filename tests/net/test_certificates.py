"""Contexts of TLS: what they are made of, and that they are made anew."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from certificates import make_certificate
from evloop_http.net.certificates import (
    RENEWAL,
    RENEWAL_RETRY,
    ServerContext,
    make_context,
    server_context,
    tls_context,
)
from fakes import FakeClock
from tls_world import Certificate, World


def test_a_context_refuses_what_is_older_than_tls_1_2(certificate: Certificate) -> None:
    assert make_context(*certificate).minimum_version == ssl.TLSVersion.TLSv1_2


def test_certificate_and_key_may_be_in_one_file(certificate: Certificate, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(path.read_bytes() for path in certificate))
    make_context(both)
    make_context(str(both))


def test_the_protocol_is_agreed_on(certificate: Certificate) -> None:
    world = World(certificate)
    world.context = make_context(*certificate, protocols=["http/1.1"])
    world.client_context.set_alpn_protocols(["h2", "http/1.1"])
    _, client, _ = world.connect()
    assert client.tls.selected_alpn_protocol() == "http/1.1"
    world.close()


@pytest.mark.parametrize("broken", [0, 1])
@pytest.mark.parametrize("how", ["missing", "directory", "garbage", "empty", "unreadable"])
def test_a_file_that_cannot_be_used_is_named(
        certificate: Certificate, tmp_path: Path, broken: int, how: str) -> None:
    path = tmp_path / "broken.pem"
    if how == "directory":
        path.mkdir()
    elif how == "unreadable":
        path.write_bytes(certificate[broken].read_bytes())
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("root can read everything")
    elif how != "missing":
        path.write_bytes(b"\x00garbage\xff" if how == "garbage" else b"")
    cert_path, key_path = (path if number == broken else certificate[number] for number in (0, 1))
    with pytest.raises(ValueError, match=r"broken\.pem"):
        make_context(cert_path, key_path)


def test_a_key_of_another_certificate_is_refused(certificate: Certificate, tmp_path: Path) -> None:
    _, other_key = make_certificate(tmp_path)
    with pytest.raises(ValueError, match=r"key\.pem"):
        make_context(certificate[0], other_key)


def test_a_certificate_without_its_key_is_refused(certificate: Certificate) -> None:
    with pytest.raises(ValueError, match=r"cert\.pem"):
        make_context(certificate[0])


@pytest.fixture
def encrypted_key(certificate: Certificate, tmp_path: Path) -> Path:
    key = serialization.load_pem_private_key(certificate[1].read_bytes(), None)
    path = tmp_path / "encrypted.pem"
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                       serialization.BestAvailableEncryption(b"secret")))
    return path


def test_an_encrypted_key_is_opened_by_its_password(certificate: Certificate, encrypted_key: Path) -> None:
    make_context(certificate[0], encrypted_key, "secret")


@pytest.mark.parametrize("password", [None, "", "wrong"])
def test_an_encrypted_key_without_its_password_is_refused_and_nobody_is_asked_for_it(
        certificate: Certificate, encrypted_key: Path, password: str | None) -> None:
    with pytest.raises(ValueError, match=r"encrypted\.pem"):
        make_context(certificate[0], encrypted_key, password)


# -- renewal


def test_a_context_is_used_for_a_day_and_then_made_anew(certificate: Certificate) -> None:
    clock = FakeClock()
    contexts = ServerContext(lambda: make_context(*certificate), clock)
    first = contexts.current()
    clock.advance(RENEWAL - 1)
    assert contexts.current() is first
    clock.advance(2)
    assert contexts.current() is not first


def test_a_ticket_of_the_day_before_is_not_taken_any_more(certificate: Certificate) -> None:
    """Its keys are the former context's; a full handshake is done instead (RFC 8446 §2.2)."""
    contexts = tls_context(*certificate)
    world = World(certificate, ssl.TLSVersion.TLSv1_2)
    resumed = []
    session: ssl.SSLSession | None = None
    for renew in (False, False, True):
        if renew:
            contexts.renew()
        world.context = contexts.current()
        _, client, _ = world.accept()
        if session is not None:
            client.tls.session = session
        world.shake_hands(client)
        resumed.append(client.tls.session_reused)
        session = client.tls.session
    assert resumed == [False, True, False]
    world.close()


def test_files_that_cannot_be_read_again_leave_the_former_context(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certificate = make_certificate(tmp_path)
    clock = FakeClock()
    contexts = ServerContext(lambda: make_context(*certificate), clock)
    first = contexts.current()
    certificate[1].rename(tmp_path / "away")
    clock.advance(RENEWAL)
    assert contexts.current() is contexts.current() is first
    assert len(caplog.records) == 1
    assert "key.pem" in caplog.text
    (tmp_path / "away").rename(certificate[1])
    clock.advance(RENEWAL_RETRY)
    assert contexts.current() is not first


def test_a_renegotiation_is_refused(certificate: Certificate) -> None:
    assert make_context(*certificate).options & ssl.OP_NO_RENEGOTIATION


def test_a_context_of_the_standard_library_is_used_as_it_is(certificate: Certificate) -> None:
    context = make_context(*certificate)
    assert server_context(context).current() is context
    with pytest.raises(ValueError, match="for clients"):
        server_context(ssl.create_default_context())
