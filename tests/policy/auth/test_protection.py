"""Encrypted connections, certificates of clients, and servers that do not start unprotected."""

from collections.abc import Iterator
from pathlib import Path

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import pytest
from cryptography.hazmat.primitives import serialization

import flightsrv.client
from flightsrv import tracing
from flightsrv.client import InvalidRequest, Tls, Unauthenticated, Unavailable
from flightsrv.flight.transports.transport import TransportName
from flightsrv.gateway.lifecycle import GatewaySettings, running_gateway
from flightsrv.policy.auth.principal import Principal, Role
from flightsrv.policy.auth.settings import SecuritySettings, read_tls
from flightsrv.policy.auth.settings import Tls as ServerTls
from flightsrv.server.lifecycle import RunningServer, ServerSettings, running_server
from tests.cli.conftest import Shell
from tests.policy.auth.certificates import Authority, Pair
from tests.policy.auth.conftest import make_tokens
from udtf.errors import InvalidArgument

OPTIONS = adbc_driver_flightsql.DatabaseOptions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where certificates are."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    """Signs the certificates of servers and of clients."""
    return Authority(folder, "authority")


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Authority:
    """Signs certificates that nobody asked for."""
    return Authority(folder, "stranger")


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Pair:
    """Of the server."""
    return authority.sign("server")


@pytest.fixture(scope="module")
def encrypted(
    transport: TransportName, certificate: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningServer, str]]:
    """A server with TLS that asks for tokens, and the token of an administrator."""
    tokens, made = make_tokens([Principal("admin", frozenset({Role.ADMIN}))])
    security = SecuritySettings(tokens, read_tls(certificate.certificate, certificate.key, None))
    lake = tmp_path_factory.mktemp("encrypted") / "lake"
    settings = ServerSettings(transport=transport, security=security)
    with running_server(str(lake), settings=settings) as server:
        yield server, made["admin"]


@pytest.fixture(scope="module")
def mutual(
    transport: TransportName, certificate: Pair, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server that asks for certificates, and for nothing else."""
    tls = read_tls(certificate.certificate, certificate.key, authority.pair.certificate)
    lake = tmp_path_factory.mktemp("mutual") / "lake"
    settings = ServerSettings(transport=transport, security=SecuritySettings(tls=tls))
    with running_server(str(lake), host="0.0.0.0", settings=settings) as server:
        yield server


def test_clients_connect_with_tls(encrypted: tuple[RunningServer, str], authority: Authority) -> None:
    """Our library and ADBC, each by the authority that signed the server's certificate."""
    server, token = encrypted
    assert server.url.startswith("grpc+tls://")
    ca = authority.pair.certificate
    with flightsrv.client.connect(server.url, token, tls=Tls(ca)) as client:
        assert client.query("SELECT 1 AS n")["n"].to_pylist() == [1]
    options = {
        OPTIONS.TLS_ROOT_CERTS.value: ca.read_text(),
        OPTIONS.AUTHORIZATION_HEADER.value: f"Bearer {token}",
    }
    with adbc.connect(server.url, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 AS n")
        assert cursor.fetchall() == [(1,)]


def test_clients_refuse_a_server_that_they_do_not_know(
    encrypted: tuple[RunningServer, str], stranger: Authority
) -> None:
    """Whatever is trusted, it is not the one that signed; and plain connections are not understood."""
    server, token = encrypted
    for url, tls in (
        (server.url, Tls(stranger.pair.certificate)),
        (server.url, None),
        (server.url.replace("grpc+tls", "grpc"), None),
    ):
        with pytest.raises(Unavailable):
            flightsrv.client.connect(url, token, tls=tls)


def test_a_client_that_knows_nothing_of_tls_is_told(encrypted: tuple[RunningServer, str]) -> None:
    """What is wrong may be the address."""
    with pytest.raises(Unavailable, match=r"begins with grpc\+tls://"):
        flightsrv.client.connect(encrypted[0].url.replace("grpc+tls", "grpc"))


def test_tls_alone_lets_nobody_in(encrypted: tuple[RunningServer, str], authority: Authority) -> None:
    """A token is needed as well."""
    with pytest.raises(Unauthenticated, match="this server requires a token"):
        flightsrv.client.connect(encrypted[0].url, tls=Tls(authority.pair.certificate))


def test_programs_are_traced_over_tls(encrypted: tuple[RunningServer, str], authority: Authority) -> None:
    """Through a gateway, with the program's own token."""
    server, token = encrypted
    tls = Tls(authority.pair.certificate)
    with (
        running_gateway(server.url, GatewaySettings(port=0, tls=tls)) as gateway,
        tracing.start(gateway.url, token=token) as session,
        tracing.span("encrypted"),
    ):
        pass
    with flightsrv.client.connect(server.url, token, tls=tls) as client:
        spans = client.query(f"SELECT name FROM process_spans('{session.process_id}', 'thread')")
    assert "encrypted" in spans["name"].to_pylist()


def test_the_command_line_knows_tls(encrypted: tuple[RunningServer, str], authority: Authority, tmp_path: Path) -> None:
    """By flags or by the environment."""
    server, token = encrypted
    shell, ca = Shell(tmp_path, server.url), str(authority.pair.certificate)
    flags = shell.run("query", "SELECT 1 AS n", "--format", "csv", "--token", token, "--tls-ca", ca)
    environment = shell.run("query", "SELECT 1 AS n", "--format", "csv", FLIGHTSRV_TOKEN=token, FLIGHTSRV_TLS_CA=ca)
    for done in (flags, environment):
        assert (done.returncode, done.stdout.split()) == (0, ["n", "1"]), done.stderr
    missing = shell.run("processes", "--tls-ca", "nowhere.pem")
    assert (missing.returncode, missing.stderr) == (1, "Error: nowhere.pem cannot be read: No such file or directory\n")


def test_only_clients_with_a_certificate_are_let_in(
    mutual: RunningServer, authority: Authority, stranger: Authority
) -> None:
    """One that the right authority signed."""
    url, ca = mutual.url.replace("0.0.0.0", "127.0.0.1"), authority.pair.certificate
    mine, others = authority.sign("client"), stranger.sign("intruder")
    with flightsrv.client.connect(url, tls=Tls(ca, mine.certificate, mine.key)) as client:
        assert client.processes().num_rows == 0
    options = {
        OPTIONS.TLS_ROOT_CERTS.value: ca.read_text(),
        OPTIONS.MTLS_CERT_CHAIN.value: mine.certificate.read_text(),
        OPTIONS.MTLS_PRIVATE_KEY.value: mine.key.read_text(),
    }
    with adbc.connect(url, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 AS n")
        assert cursor.fetchall() == [(1,)]
    for tls in (Tls(ca), Tls(ca, others.certificate, others.key)):
        with pytest.raises(Unavailable):
            flightsrv.client.connect(url, tls=tls)
    without = {OPTIONS.TLS_ROOT_CERTS.value: ca.read_text()}
    with (
        adbc.connect(url, db_kwargs=without, autocommit=True) as connection,
        connection.cursor() as cursor,
        pytest.raises(adbc_driver_manager.Error),
    ):
        cursor.execute("SELECT 1 AS n")


def test_a_certificate_of_a_client_needs_its_key(certificate: Pair) -> None:
    """And the files must be there."""
    with pytest.raises(InvalidRequest, match="go together"):
        Tls(certificate=certificate.certificate).options()


def test_files_that_do_not_fit_are_refused(authority: Authority, certificate: Pair, tmp_path: Path) -> None:
    """Before the server starts, by their names."""
    other, garbage, locked = authority.sign("other").key, tmp_path / "garbage.pem", tmp_path / "locked.key"
    garbage.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    key = serialization.load_pem_private_key(certificate.key.read_bytes(), None)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    for chain, its_key in (
        (certificate.certificate, other),
        (certificate.certificate, locked),
        (certificate.certificate, garbage),
        (garbage, certificate.key),
        (certificate.key, certificate.key),
    ):
        with pytest.raises(InvalidArgument, match=f"{chain} and {its_key} must be a certificate and its key"):
            read_tls(chain, its_key, None)
    with pytest.raises(InvalidArgument, match=f"{garbage} must be certificates"):
        read_tls(certificate.certificate, certificate.key, garbage)
    with pytest.raises(InvalidArgument, match=r"nowhere.pem cannot be read"):
        read_tls(certificate.certificate, certificate.key, Path("nowhere.pem"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_other_machines_are_asked_who_they_are(host: str, tmp_path: Path) -> None:
    """Or else the server does not start, nor does it make a lake."""
    with (
        pytest.raises(InvalidArgument, match=f"other machines can reach {host} without authentication"),
        running_server(str(tmp_path / "lake"), host=host),
    ):
        pass
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_is_not_asked(host: str) -> None:
    """Whatever one calls it."""
    SecuritySettings().check_address(host)


def test_protection_is_tokens_certificates_or_a_decision() -> None:
    """Any one of them; TLS alone tells nobody who calls."""
    tokens, _ = make_tokens([Principal("x", frozenset({Role.READER}))])
    for settings in (
        SecuritySettings(tokens),
        SecuritySettings(tls=ServerTls(b"", b"", b"")),
        SecuritySettings(is_insecure=True),
    ):
        settings.check_address("0.0.0.0")
    with pytest.raises(InvalidArgument, match="--tokens or --tls-client-ca, or --insecure"):
        SecuritySettings(tls=ServerTls(b"", b"")).check_address("0.0.0.0")
