"""A certificate for an emulator that speaks HTTPS, made at its start by an authority of its own."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path

import trustme


def serve_as(host: str, folder: Path, names: Iterable[str]) -> tuple[ssl.SSLContext, Path]:
    """The server's TLS context, and the file of the authority that clients must trust.

    The certificate is for ``host``, localhost, the loopback addresses, and NAME.localhost and NAME.api.localhost of each endpoint.
    """
    hosts = ["localhost", "127.0.0.1", "::1", host, *(f"{name}{suffix}" for name in names for suffix in (".localhost", ".api.localhost"))]
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*dict.fromkeys(hosts)).configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return context, folder / "ca.pem"
