"""Make a self-signed certificate for development: `cert.pem` and `key.pem` in a folder.

It names only this machine (localhost, 127.0.0.1, ::1), so it is worth nothing to anybody else. It is
no certificate authority: whoever trusts it trusts one server, not whatever its key might sign.
"""

from __future__ import annotations

import argparse
import datetime
import ipaddress
import os
import sys
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROOT = Path(__file__).resolve().parent.parent
#: Days. Apple's clients refuse a server certificate that is valid for longer.
VALID_DAYS = 825
NAMES = ("localhost", "127.0.0.1", "::1")


def self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    # An hour back: the clock of the client (a phone, a virtual machine) may be behind ours.
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "evloop_http development")])
    alternatives = [x509.DNSName(NAMES[0]), *(x509.IPAddress(ipaddress.ip_address(name)) for name in NAMES[1:])]
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def write_aside(folder: Path, content: bytes) -> str:
    """Write `content` to a new file in `folder` that only its owner may read; return the file's path."""
    descriptor, path = tempfile.mkstemp(dir=folder, prefix=".making-")  # mode 0600 from its first moment
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    return path


def make_pair(folder: Path) -> None:
    """Put a new `key.pem` (mode 0600) and `cert.pem` into `folder`, replacing what stands there."""
    key = ec.generate_private_key(ec.SECP256R1())
    key_bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    cert_bytes = self_signed(key).public_bytes(serialization.Encoding.PEM)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    new_key = write_aside(folder, key_bytes)
    new_cert = write_aside(folder, cert_bytes)
    os.chmod(new_cert, 0o644)
    # Both are whole on the disk before either is seen under its name.
    os.replace(new_key, folder / "key.pem")
    os.replace(new_cert, folder / "cert.pem")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make-cert", description="Make a self-signed development certificate.")
    where = "where cert.pem and key.pem go (default: .dev in the project)"
    parser.add_argument("folder", metavar="DIR", nargs="?", type=Path, default=ROOT / ".dev", help=where)
    parser.add_argument("--force", action="store_true", help="replace the pair that is there")
    options = parser.parse_args()
    folder: Path = options.folder
    there = [path.name for path in (folder / "cert.pem", folder / "key.pem") if path.exists()]
    if there and not options.force:
        print(f"{folder} holds {' and '.join(there)} already; --force replaces the pair", file=sys.stderr)
        return 1
    make_pair(folder)
    print(f"Made {folder / 'cert.pem'} and {folder / 'key.pem'}: for {', '.join(NAMES)}; {VALID_DAYS} days")
    return 0


if __name__ == "__main__":
    sys.exit(main())
