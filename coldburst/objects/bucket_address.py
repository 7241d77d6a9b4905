"""Where objects go: a bucket and a prefix, and what the storage at an address can do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from coldburst.option import OptionError

EXAMPLE = "s3://my-bucket/load-tests"
_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,61}[a-zA-Z0-9]")
# RunPod's storage: network volumes, one host for each region. It has no presigned URLs and no DeleteObjects (documented).
_RUNPOD = re.compile(r"s3api-[a-z0-9-]+\.runpod\.io", re.IGNORECASE)
# Where RunPod mounts a network volume in a serverless worker and in a Pod (documented): the rest of the path is the key.
_MOUNTS = ("/runpod-volume/", "/workspace/")


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """A bucket, and the prefix of all keys in it ("" or with a slash at its end)."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


def parse_address(text: str) -> BucketAddress:
    """The address in ``text``, as in EXAMPLE. Raises OptionError if it is none."""
    url = urlsplit(text)
    if "@" in url.netloc:
        raise OptionError(f"--objects contains a user name or password: leave it out, as in {EXAMPLE}; boto3 finds the credentials")
    prefix = text.removeprefix("s3://").partition("/")[2].strip("/")
    if url.scheme != "s3" or not _BUCKET.fullmatch(url.netloc) or not prefix.isprintable() or "//" in prefix:
        raise OptionError(f"--objects '{text}' is not the address of a bucket: write s3://BUCKET/PREFIX, as in {EXAMPLE}")
    return BucketAddress(url.netloc, f"{prefix}/" if prefix else "")


def has_presigned_urls(endpoint: str) -> bool:
    """Whether the storage at ``endpoint`` accepts presigned URLs."""
    return not _RUNPOD.fullmatch(urlsplit(endpoint).hostname or "")


def key_named(name: str, bucket: str, endpoint: str) -> str:
    """The key of the object that an answer names: ``s3://`` address, URL at ``endpoint``, path in a network volume, or the key itself.

    Raises:
        ValueError: it is in another bucket or at another host.
    """
    for mount in _MOUNTS:
        if name.startswith(mount):
            return name.removeprefix(mount)
    url = urlsplit(name)
    if not url.scheme:
        return name.lstrip("/")
    host, path = (url.hostname or "").lower(), unquote(url.path.lstrip("/"))
    store = (urlsplit(endpoint).hostname or "").lower()
    if url.scheme == "s3" and url.netloc == bucket:
        return path
    if url.scheme in ("http", "https") and host == store and path.startswith(f"{bucket}/"):
        return path.removeprefix(f"{bucket}/")
    if url.scheme in ("http", "https") and (host == f"{bucket}.{store}" or _is_amazon(host, bucket, store)):
        return path
    raise ValueError(f"{url.scheme}://{url.netloc}{url.path} is not in s3://{bucket} at {store}")


def _is_amazon(host: str, bucket: str, store: str) -> bool:
    """Whether ``host`` is the bucket's at Amazon, with or without its region, as in ``my-bucket.s3.eu-west-1.amazonaws.com``."""
    return store.endswith(".amazonaws.com") and bool(re.fullmatch(rf"{re.escape(bucket)}\.s3[.a-z0-9-]*\.amazonaws\.com", host))
