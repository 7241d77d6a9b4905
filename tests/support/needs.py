"""The system's programs that some tests need: where each is, and a skip that names its Debian package where it is not.

    @needs("nginx")                  # a mark for a test, a class or pytestmark
    def test_…

    path = need("nginx")             # inside a test or a fixture: the path, or a skip
    if reason := lacking("ip"): …    # for those that skip with a reason of their own

Python, git and coreutils are taken for granted, and /bin/sh, which every Unix has. A test that needs anything else asks here.
"""

import shutil
import sys

import pytest

PACKAGES = {
    "bash": "bash",
    "chromium": "chromium fonts-dejavu-core",
    "docker": "docker.io",
    "docker-compose": "docker-compose",
    "dockerd": "docker.io",
    "dpkg-query": "dpkg",
    "flite": "flite",
    "ip": "iproute2",
    "iptables": "iptables",
    "mount": "mount",
    "nginx": "nginx-light",
    "node": "nodejs",
    "npm": "npm",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
"""Program -> Debian packages that bring it."""
ADMINISTRATORS = "/usr/local/sbin:/usr/sbin:/sbin"
"""Not on everybody's PATH, and searched after it."""


def found(program: str) -> str:
    """The path of a program, "" where it is not installed."""
    if program not in PACKAGES:
        raise ValueError(f"'{program}' is not in tests/support/needs.py: name its Debian package there")
    return shutil.which(program) or shutil.which(program, path=ADMINISTRATORS) or ""


def lacking(*programs: str) -> str:
    """Which of the programs are not installed, with their packages; "" where all are."""
    missing = [program for program in programs if not found(program)]
    packages = " ".join(dict.fromkeys(PACKAGES[program] for program in missing))
    return f"not installed: {', '.join(missing)} (apt-get install {packages})" if missing else ""


def needs(*programs: str) -> pytest.MarkDecorator:
    """A mark that skips where one of the programs is not installed."""
    reason = lacking(*programs)
    return pytest.mark.skipif(bool(reason), reason=reason)


needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells this")
"""A mark for what is asked of Linux' kernel."""


def need(program: str) -> str:
    """The path of a program; skips the test where it is not installed."""
    if reason := lacking(program):
        pytest.skip(reason)
    return found(program)
