"""One client of an S3-compatible store: puts, gets and removes objects, and counts what boto3 does on its own."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import gevent
from gevent.pool import Pool

from coldburst.objects.bucket_address import BucketAddress, has_presigned_urls
from coldburst.objects.store_thread import StoreThread
from coldburst.option import OptionError
from coldburst.redact import redact, remember

logger = logging.getLogger("coldburst")
# Larger objects are uploaded in parts of this size, one after the other (boto3's own threshold and size).
PART_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
# Objects that are removed at a time. RunPod's store has no DeleteObjects, so each takes a call.
REMOVALS = 10
# boto3 waits this long for a part of an answer.
READ_S = 60.0
# Validity of a presigned URL: a job may wait long in the queue (SigV4 allows a week).
URL_S = 24 * 3600
_MD5 = re.compile(r"[0-9a-f]{32}")
_POOL_IS_FULL = "Connection pool is full"


class ObjectError(Exception):
    """A transfer failed; the message says how."""


@dataclass(slots=True)
class Transfer:
    """One upload or download, of ``size`` bytes.

    Attributes:
        retries: why boto3 sent each of its calls again.
        discarded: connections that did not fit into the pool.
        at_once: most transfers at a time until the last of those was discarded: so many connections are needed.
    """

    size: int = 0
    retries: list[str] = field(default_factory=list)
    discarded: int = 0
    at_once: int = 0
    failing: str = ""


class Store:
    """A bucket, with credentials, region and endpoint from boto3's own chain.

    Args:
        pool: connections that the client keeps.
        connect_s: time limit to connect, in seconds.

    Raises:
        OptionError: the bucket cannot be used; one sentence.
    """

    def __init__(self, address: BucketAddress, pool: int, connect_s: float = 10.0) -> None:
        self.address, self.pool = address, pool
        self._thread = StoreThread()
        self._transfers: dict[Any, Transfer] = {}
        self._most = 0
        # Not every store can list uploads in parts.
        self._has_parts = False
        # Whether an ETag is the MD5 of the content: not with every store, and not with every encryption. An upload shows it.
        self._etag_is_md5 = False
        try:
            self._client: Any = self._thread.call(_client, pool, connect_s)
            self._client.meta.events.register("before-send.s3", self._count_sending)
            self._client.meta.events.register("needs-retry.s3", self._note_failure)
            logging.getLogger("urllib3.connectionpool").addFilter(self._count_discarded)
            self._check()
        except BaseException:
            self.close()
            raise

    @property
    def endpoint(self) -> str:
        """Address of the store."""
        return str(self._client.meta.endpoint_url)

    @property
    def presigns(self) -> bool:
        """Whether ``url`` may be used."""
        return has_presigned_urls(self.endpoint)

    def put(self, key: str, data: bytes) -> Transfer:
        """Uploads ``data``, in parts if it is large. Raises ObjectError."""
        return self._thread.call(self._put, key, data)

    def get(self, key: str) -> Transfer:
        """Downloads an object, checks size and content, and drops it. Raises ObjectError."""
        return self._thread.call(self._get, key)

    def url(self, key: str) -> str:
        """A presigned URL by which anyone can download the object for URL_S."""
        what = {"Bucket": self.address.bucket, "Key": key}
        return str(self._thread.call(lambda: self._client.generate_presigned_url("get_object", Params=what, ExpiresIn=URL_S)))

    def remove(self, prefix: str, keys: Iterable[str] = ()) -> int:
        """Removes what is below ``prefix``, and ``keys`` even if the store cannot list; uploads that were torn, too.

        Returns:
            How many objects were removed.

        Raises:
            ObjectError: some could not be removed.
        """
        return self._thread.call(self._remove, prefix, keys)

    def close(self) -> None:
        """Ends the client."""
        logging.getLogger("urllib3.connectionpool").removeFilter(self._count_discarded)
        self._thread.close()

    def _check(self) -> None:
        try:
            self._thread.call(lambda: self._client.head_bucket(Bucket=self.address.bucket))
        except Exception as error:
            where, remedy = f"bucket '{self.address.bucket}' at {self.endpoint}", _remedy(error)
            raise OptionError(f"--objects: cannot use {where} ({_reason(error)}): {remedy}") from error

    @contextmanager
    def _transfer(self, size: int = 0) -> Iterator[Transfer]:
        found = self._transfers[gevent.getcurrent()] = Transfer(size)
        self._most = max(self._most, len(self._transfers))
        try:
            yield found
        except Exception as error:
            raise ObjectError(_reason(error, len(found.retries) + 1)) from error
        finally:
            del self._transfers[gevent.getcurrent()]

    def _put(self, key: str, data: bytes) -> Transfer:
        with self._transfer(len(data)) as transfer:
            if len(data) > PART_BYTES:
                self._put_in_parts(key, data)
                return transfer
            etag = self._client.put_object(Bucket=self.address.bucket, Key=key, Body=data).get("ETag", "").strip('"')
            if _MD5.fullmatch(etag):
                same = etag == hashlib.md5(data, usedforsecurity=False).hexdigest()
                if self._etag_is_md5 and not same:
                    raise ObjectError(f"the store has other content: ETag {etag}")
                self._etag_is_md5 = same
        return transfer

    def _put_in_parts(self, key: str, data: bytes) -> None:
        from boto3.s3.transfer import TransferConfig  # noqa: PLC0415

        self._has_parts = True
        # No threads: a request has one connection at a time, which is what the pool is sized for.
        config = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False)
        self._client.upload_fileobj(BytesIO(data), self.address.bucket, key, Config=config)

    def _get(self, key: str) -> Transfer:
        with self._transfer() as transfer:
            answer = self._client.get_object(Bucket=self.address.bucket, Key=key)
            digest = hashlib.md5(usedforsecurity=False)
            # botocore compares the length with Content-Length, and a checksum if the store sends one.
            for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
                digest.update(chunk)
                transfer.size += len(chunk)
            etag = answer.get("ETag", "").strip('"')
            if self._etag_is_md5 and _MD5.fullmatch(etag) and etag != digest.hexdigest():
                raise ObjectError(f"its content is not that of its ETag {etag}")
        return transfer

    def _remove(self, prefix: str, keys: Iterable[str]) -> int:
        bucket, failures = self.address.bucket, []
        found = dict.fromkeys(keys)
        try:
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                found |= dict.fromkeys(one["Key"] for one in page.get("Contents", ()))
            if self._has_parts:
                self._abort_unfinished(prefix)
        except Exception as error:
            failures.append(_reason(error))

        def remove(key: str) -> bool:
            # Once a call and its retries failed, the store is gone: the others would only take as long.
            try:
                if len(failures) < REMOVALS:
                    self._client.delete_object(Bucket=bucket, Key=key)
                    return True
            except Exception as error:
                failures.append(_reason(error))
            return False

        removed: int = sum(Pool(REMOVALS).imap_unordered(remove, found))
        if failures:
            raise ObjectError(f"{failures[-1]} ({len(found) - removed} known objects are left)")
        return removed

    def _abort_unfinished(self, prefix: str) -> None:
        for page in self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.address.bucket, Prefix=prefix):
            for one in page.get("Uploads", ()):
                self._client.abort_multipart_upload(Bucket=self.address.bucket, Key=one["Key"], UploadId=one["UploadId"])

    def _count_sending(self, **_: Any) -> None:
        if (transfer := self._transfers.get(gevent.getcurrent())) and transfer.failing:
            transfer.retries.append(transfer.failing)
            transfer.failing = ""

    def _note_failure(self, response: Any = None, caught_exception: Exception | None = None, **_: Any) -> None:
        if transfer := self._transfers.get(gevent.getcurrent()):
            status = response[0].status_code if response else 0
            code = response[1].get("Error", {}).get("Code", "") if response else ""
            transfer.failing = type(caught_exception).__name__ if caught_exception else f"{status} {code}" if status >= 400 else ""

    def _count_discarded(self, record: logging.LogRecord) -> bool:
        """Filter of urllib3's log: counts the connections that its pool discards, and hides the message about each."""
        transfer = self._transfers.get(gevent.getcurrent())
        if transfer is None or not str(record.msg).startswith(_POOL_IS_FULL):
            return True
        transfer.discarded += 1
        transfer.at_once = self._most
        return False


def _client(pool: int, connect_s: float) -> Any:
    import boto3  # noqa: PLC0415  (0.3 s, in the store's thread)
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    retries = {} if "AWS_RETRY_MODE" in os.environ else {"retries": {"mode": "standard"}}
    try:
        session = boto3.session.Session()
        if (credentials := session.get_credentials()) is None:
            raise OptionError("--objects needs credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name an AWS_PROFILE")
        frozen = credentials.get_frozen_credentials()
        for secret in (frozen.secret_key, frozen.token):
            remember(secret or "")
        config = Config(max_pool_connections=pool, signature_version="s3v4", connect_timeout=connect_s, read_timeout=READ_S, **retries)
        return session.client("s3", config=config)
    except (BotoCoreError, ValueError) as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(f"--objects: boto3 cannot be set up ({_reason(error)}): check the AWS_ variables and ~/.aws/config") from error


def _reason(error: Exception, tries: int = 1) -> str:
    """An error of boto3 in one line, without credentials."""
    answer = getattr(error, "response", None)
    if not isinstance(answer, dict):
        text = str(error) if isinstance(error, ObjectError) else f"{type(error).__name__}: {error}"
        return redact(text) + (f" (after {tries} tries)" if tries > 1 else "")
    told, status = answer.get("Error", {}), answer.get("ResponseMetadata", {}).get("HTTPStatusCode", "no status")
    after = f" after {tries} tries" if tries > 1 else ""
    return redact(f"{told.get('Code', 'an error')} ({status}{after}): {told.get('Message', '')}".rstrip(": "))


def _remedy(error: Exception) -> str:
    status = getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status == 404:
        return "create the bucket, or name one that exists"
    if status in (400, 401, 403):
        return "check the credentials, what they may access, and AWS_DEFAULT_REGION"
    return "check AWS_ENDPOINT_URL_S3 and whether the store runs"
