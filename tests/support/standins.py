"""Base images without a registry: file systems of the Debian packages that are installed on this machine.

They stand in for the images that a Dockerfile and a compose file name, under the same names. What they prove is the project's own
files; of the upstream images, they prove nothing. Python is Debian's and lies in /usr/bin, nginx and Prometheus are Debian's versions.
"""

import io
import os
import re
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support import needs

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
LEFT_OUT = re.compile(
    r"/usr/share/(doc|man|locale|info|lintian|bug|javascript|nodejs)/|/usr/bin/promtool|/boot/|/dev/|/proc/|/sys/|/run/|/tmp/"
)
MERGED = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")


@dataclass(frozen=True)
class StandIn:
    """An image made of packages.

    Attributes:
        name: as in a FROM or image line.
        packages: Debian's, with all that they depend on; the essential ones are in each image.
        links: more links, by their path.
        settings: lines of a Dockerfile that `docker import` takes.
    """

    name: str
    packages: tuple[str, ...]
    links: tuple[tuple[str, str], ...] = ()
    settings: tuple[str, ...] = ()


WITH_PYTHON = ("python3", "python3-pip", "ca-certificates", "apt")
AS_PYTHON = ('CMD ["python3"]', f"ENV LANG=C.UTF-8 PIP_CERT={CERTIFICATES}")
PYTHON = StandIn("python:3.11-slim-bookworm", WITH_PYTHON, (("/usr/bin/python", "python3"),), AS_PYTHON)
LARGER = replace(PYTHON, name="python:3.11-bookworm", packages=(*WITH_PYTHON, "binutils"))
NGINX = StandIn("nginx:1.27-bookworm", ("nginx-light",), settings=('CMD ["nginx","-g","daemon off;"]',))
PROMETHEUS = StandIn(
    "prom/prometheus:v2.53.2",
    ("prometheus",),
    settings=('ENTRYPOINT ["prometheus","--config.file=/etc/prometheus/prometheus.yml","--storage.tsdb.path=/tmp"]', "USER nobody"),
)
ALL = (PYTHON, LARGER, NGINX, PROMETHEUS)


def lacking() -> str:
    """Why these images cannot be made here, "" where they can."""
    try:
        version = Path("/etc/debian_version").read_text(encoding="ascii").strip()
    except OSError:
        return "stand-in base images are made of Debian's packages, and this is no Debian"
    if not version.startswith("12."):
        return f"stand-in base images are made of Debian 12's packages, and this is Debian {version}"
    if reason := needs.lacking("dpkg-query"):
        return reason
    names = _named(_packages())
    missing = [package for one in ALL for package in one.packages if package not in names]
    return f"not installed, for stand-in base images: {' '.join(missing)}" if missing else ""


def write(image: StandIn, to: io.BufferedIOBase) -> None:
    """Writes the file system of ``image`` as a tar stream."""
    with tarfile.open(fileobj=to, mode="w|") as tar:
        seen: set[str] = set()
        for path in _paths(image):
            if path not in seen:
                seen.add(path)
                tar.add(path, recursive=False)
        for path, target in image.links:
            link = tarfile.TarInfo(path.lstrip("/"))
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
        for name in ("passwd", "group"):
            content = Path(f"/usr/share/base-passwd/{name}.master").read_bytes()
            tar.addfile(_file(f"etc/{name}", 0o644, len(content)), io.BytesIO(content))
        for folder in ("tmp", "run", "dev", "proc", "sys"):
            directory = _file(folder, 0o1777 if folder == "tmp" else 0o755)
            directory.type = tarfile.DIRTYPE
            tar.addfile(directory)


def _file(name: str, mode: int, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.size = mode, size
    return info


def _paths(image: StandIn) -> Iterator[str]:
    """What is to be in the file system, parents first; each below the directory where it really lies (/bin is a link to usr/bin)."""
    yield from (path for path in MERGED if Path(path).is_symlink())
    listed = subprocess.run(["dpkg-query", "-L", *_closure(image.packages)], capture_output=True, text=True, check=True).stdout.split("\n")
    for path in sorted({_real(path) for path in listed if path.startswith("/") and path != "/."}):
        if not LEFT_OUT.match(path + "/") and _copied(path):
            yield path
    yield CERTIFICATES


def _real(path: str) -> str:
    parent, name = os.path.split(path)
    return os.path.join(os.path.realpath(parent), name)  # noqa: PTH118


def _copied(path: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return False  # a package's own file may have been removed on purpose, as EXTERNALLY-MANAGED in many images
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


@dataclass(frozen=True)
class _Package:
    name: str
    essential: bool
    needs: tuple[tuple[str, ...], ...]
    provides: tuple[str, ...]


def _packages() -> list[_Package]:
    """What is installed."""
    fields = "${db:Status-Abbrev}\t${binary:Package}\t${Essential}\t${Pre-Depends}, ${Depends}\t${Provides}\n"
    output = subprocess.run(["dpkg-query", "-W", "-f", fields], capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in output.splitlines() if line.startswith("ii")]
    return [_Package(name, first == "yes", tuple(_alternatives(needs)), tuple(_words(offers))) for _, name, first, needs, offers in rows]


def _words(field: str) -> list[str]:
    """Names in a list of packages, without versions and architectures."""
    return [re.split(r"[ (:]", word.strip())[0] for word in field.split(",") if word.strip()]


def _alternatives(field: str) -> Iterator[tuple[str, ...]]:
    for need in field.split(","):
        if need.strip():
            yield tuple(_words(need.replace("|", ",")))


def _named(packages: Iterable[_Package]) -> dict[str, _Package]:
    """Packages by their own names, and by what they provide where nothing has that name itself."""
    found: dict[str, _Package] = {}
    for package in packages:
        for name in package.provides:
            found.setdefault(name, package)
    return found | {package.name.partition(":")[0]: package for package in packages}


def _closure(names: Iterable[str]) -> list[str]:
    """These packages, the essential ones, and what they depend on."""
    packages = _packages()
    named = _named(packages)
    open_, closed = [named[name] for name in names] + [one for one in packages if one.essential], {}
    while open_:
        package = open_.pop()
        if package.name not in closed:
            closed[package.name] = package
            open_ += [named[found] for choice in package.needs if (found := next((name for name in choice if name in named), ""))]
    return sorted(closed)
