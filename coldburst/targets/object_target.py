"""Puts an object store around a target: files are uploaded before a request, and results downloaded after it.

Both are phases of their own (columns ``upload_s`` and ``download_s``), never part of the endpoint's response time. The upload begins when
the request is due, so that the request itself is due when the upload has ended.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import gevent

from coldburst.objects.bucket_address import key_named
from coldburst.objects.store import ObjectError, Store, Transfer
from coldburst.targets.body_template import NO_VALUES
from coldburst.targets.clips import Clip
from coldburst.targets.exchange import Exchange
from coldburst.targets.expression import Expression
from coldburst.targets.outcome import Evidence

logger = logging.getLogger("coldburst")
UPLOAD, DOWNLOAD = "upload", "download"
# Removing a run's objects may take this long for each of them, and never less than a minute.
REMOVE_LEAST_S, REMOVE_EACH_S = 60.0, 1.0


@dataclass(frozen=True, slots=True)
class ObjectOptions:
    """What goes through the store.

    Attributes:
        columns: of the data set, whose files are uploaded; "" is the clip, or the rows' column ``main``.
        main: the column of the files that {{url}} and {{key}} name where there are rows.
        signed: whether presigned URLs are needed.
        download: finds the names of the objects in an answer; None = nothing is downloaded.
        keep: whether the run's objects stay.
        limit_s: time limit of an upload or a download.
    """

    columns: tuple[str, ...] = ()
    main: str = ""
    signed: bool = False
    download: Expression | None = None
    keep: bool = False
    limit_s: float = 300.0


class ObjectTarget:
    """``target`` with a store around it.

    Args:
        clips: the clips that are uploaded in turn, as the target sends them.
    """

    def __init__(self, target: Any, store: Store, clips: Sequence[Clip], options: ObjectOptions) -> None:
        self._target, self._store, self._clips, self._options = target, store, clips, options
        self.kind: str = target.kind
        self.url: str = target.url
        self.client = target.client
        self.share = target.share
        # Generators of one run remove only what they uploaded themselves: each has its own prefix.
        self._own = uuid.uuid4().hex[:8]
        self._folder = ""
        self._keys: set[str] = set()

    def send(self, seq: int, name: str, exchange: Exchange, values: Mapping[str, Any] = NO_VALUES) -> Evidence:
        """See factory.Target."""
        self._folder = self._folder or f"{self._store.address.prefix}{name.rsplit('-', 2)[0]}/{self._own}/"
        try:
            values = _Both(self._upload(seq, exchange, values), values)
        except ObjectError as error:
            exchange.fault, exchange.done = UPLOAD, time.perf_counter()
            return Evidence(measured=exchange.known | {"error": f"{UPLOAD}: {error}"}, cause="object_store")
        evidence: Evidence = self._target.send(seq, name, exchange, values)
        if not self._options.download or evidence.says or exchange.fault or not 200 <= (exchange.status or 0) < 300:
            return evidence
        return self._download(self._options.download, exchange, evidence)

    def close(self) -> None:
        """Closes the target, then removes what the run left in the store."""
        self._target.close()
        try:
            if self._keys and not self._options.keep:
                self._remove()
        finally:
            self._store.close()

    def _upload(self, seq: int, exchange: Exchange, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the placeholders that name the request's objects, which are uploaded unless an earlier try has done it."""
        named: dict[str, Any] = {"bucket": self._store.address.bucket}
        is_new = "upload_s" not in exchange.known
        with self._phase(UPLOAD, exchange):
            for column in self._options.columns:
                file_name, data = self._file(seq, column, values)
                suffix = f"-{column}" if column else ""
                key = f"{self._folder}{seq}{suffix}{PurePath(file_name).suffix}"
                if is_new:
                    self._keys.add(key)
                    self._account(self._store.put(key, data), UPLOAD, exchange)
                of = f":{column}" if column else ""
                named |= {f"key{of}": key} | ({f"url{of}": self._store.url(key)} if self._options.signed else {})
        return named

    def _file(self, seq: int, column: str, values: Mapping[str, Any]) -> tuple[str, bytes]:
        if column := column or self._options.main:
            return str(values[f"path:{column}"]), values[f"bytes:{column}"]
        clip = self._clips[seq % len(self._clips)]
        return clip.name, clip.data

    def _download(self, download: Expression, exchange: Exchange, evidence: Evidence) -> Evidence:
        """Fetches the objects that the answer names; the evidence is the answer's unless one is missing, empty or not what it should be."""
        names = [name for value in download.values(exchange.answer) for name in (value if isinstance(value, list) else [value])]
        if not names or not all(isinstance(name, str) and name for name in names):
            return _with(evidence, "wrong", f"the answer names no object: {download.found(exchange.answer)}")
        try:
            with self._phase(DOWNLOAD, exchange):
                got = [self._get(name, exchange) for name in names]
        except (ObjectError, ValueError) as error:
            return _with(evidence, "error", str(error), "object_store")
        empty = next((name for name, size in zip(names, got, strict=True) if not size), None)
        return evidence if empty is None else _with(evidence, "wrong", f"the object {empty} is empty")

    def _get(self, name: str, exchange: Exchange) -> int:
        """The size of an object that an answer names."""
        got = self._store.get(key_named(name, self._store.address.bucket, self._store.endpoint))
        self._account(got, DOWNLOAD, exchange)
        return got.size

    @contextmanager
    def _phase(self, phase: str, exchange: Exchange) -> Iterator[None]:
        """Measures a phase, which the time limit ends."""
        begun, name = time.perf_counter(), f"{phase}_s"
        before_s = exchange.known.get(name, 0.0)
        limit = gevent.Timeout(self._options.limit_s)
        try:
            with limit:
                yield
        except gevent.Timeout as passed:
            if passed is not limit:
                raise
            raise ObjectError(f"not finished after {self._options.limit_s:g} s (--deadline)") from passed
        finally:
            exchange.known[name] = before_s + time.perf_counter() - begun

    def _account(self, transfer: Transfer, phase: str, exchange: Exchange) -> None:
        """Notes what boto3 did on its own as events."""
        exchange.events += tuple(("object_retried", f"{phase}: {reason}") for reason in transfer.retries)
        about = f"pool of {self._store.pool}, {transfer.at_once} at once"
        exchange.events += (("object_pool_full", about),) * transfer.discarded

    def _remove(self) -> None:
        what = f"s3://{self._store.address.bucket}/{self._folder}"
        try:
            with gevent.Timeout(max(REMOVE_LEAST_S, REMOVE_EACH_S * len(self._keys)), ObjectError("it took too long")):
                removed = self._store.remove(self._folder, self._keys)
            logger.info("Removed %d objects at %s", removed, what)
        except ObjectError as error:
            logger.error("Could not remove the objects of this run: %s; to remove them: aws s3 rm --recursive %s", error, what)


def _with(evidence: Evidence, says: str, error: str, cause: str = "") -> Evidence:
    return Evidence(says, {**evidence.measured, "error": f"{DOWNLOAD}: {error}"}, cause or evidence.cause)


class _Both(Mapping[str, Any]):
    """Values of a request's objects and those of its row, which are read only when they are used."""

    def __init__(self, own: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        self._own, self._row = own, row

    def __getitem__(self, key: str) -> Any:
        return self._own[key] if key in self._own else self._row[key]

    def __contains__(self, key: object) -> bool:
        return key in self._own or key in self._row

    def __iter__(self) -> Any:
        return iter({**self._own, **dict.fromkeys(self._row)})

    def __len__(self) -> int:
        return len(self._own) + len(self._row)
