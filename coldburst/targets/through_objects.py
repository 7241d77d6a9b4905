"""Reads from options and template what goes through the object store, and puts the store around a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from coldburst.data.data_set import DataSet
from coldburst.installation import missing
from coldburst.objects.bucket_address import EXAMPLE, parse_address
from coldburst.objects.store import Store
from coldburst.option import OptionError
from coldburst.targets.address import EndpointAddress
from coldburst.targets.exchange import Timeouts
from coldburst.targets.expression import compiled
from coldburst.targets.object_target import ObjectOptions, ObjectTarget
from coldburst.targets.payload import OF_OBJECT, Payload, placeholders

# Connections that the client keeps where the user does not say: as many as one process may have requests in flight.
MOST_CONNECTIONS = 10_000


class RowFiles(NamedTuple):
    """A data set whose files are uploaded.

    Attributes:
        planned: requests of the run; None = not known.
        main: the column whose files {{url}} and {{key}} name, "" if there is none.
    """

    data: DataSet
    planned: int | None
    main: str


def around(
    make: Callable[[EndpointAddress, Timeouts, str], Any], payload: Payload, options: Mapping[str, Any], rows: RowFiles | None = None
) -> Callable[[EndpointAddress, Timeouts, str], Any]:
    """``make``, with the store of --objects around the target; ``make`` itself without.

    Args:
        rows: the data set whose files are uploaded; None = the clips of ``payload`` are.

    Raises:
        OptionError: an option or the template cannot be used; one sentence.
    """
    if not options["objects"]:
        if options["download"]:
            raise OptionError(f"--download fetches from the store of --objects: name it, as in --objects {EXAMPLE}")
        return make
    if sentence := missing("objects"):
        raise OptionError(sentence)
    address, spec = parse_address(options["objects"]), _spec(payload, options, rows)
    if options["objects_pool"] < 0:
        raise OptionError(f"--objects-pool {options['objects_pool']} must be 0 or more, as in --objects-pool 30")

    def made(endpoint: EndpointAddress, limits: Timeouts, key: str) -> ObjectTarget:
        target = make(endpoint, limits, key)
        store = Store(address, options["objects_pool"] or MOST_CONNECTIONS, limits.connect_s)
        if spec.signed and not store.presigns:
            store.close()
            raise OptionError(
                f"the template asks for {{{{url}}}}, and {store.endpoint} has no presigned URLs: use {{{{bucket}}}} and {{{{key}}}}, "
                "a file of the worker's network volume"
            )
        return ObjectTarget(target, store, payload.clips, spec)

    return made


def _spec(payload: Payload, options: Mapping[str, Any], rows: RowFiles | None) -> ObjectOptions:
    used = [name.partition(":") for name in set(placeholders(payload.tree))]
    columns = {column for kind, _, column in used if kind in OF_OBJECT and kind != "bucket"}
    if not columns and not options["download"]:
        raise OptionError(
            "--objects uploads the files that the template names: put {{url}}, or {{bucket}} and {{key}}, into a file of --input; "
            "or name results with --download"
        )
    main = rows.main if rows else ""
    if "" in columns and not rows and not payload.clips:
        raise OptionError("{{url}} and {{key}} name a file of --data here: add --data, or leave --objects out")
    if rows and "" in columns and not main:
        raise OptionError(
            f"'{rows.data.path}' has no column 'path' or of audio files: name the column, as in {{{{url:{rows.data.columns[0]}}}}}"
        )
    if rows:
        rows.data.check(rows.planned, lambda row: 0 * sum(row.size(f"bytes:{column or main}") for column in columns))
    return ObjectOptions(
        columns=tuple(sorted(columns)),
        main=main,
        signed=any(kind == "url" for kind, _, _ in used),
        download=compiled(options["download"], "--download") if options["download"] else None,
        keep=options["keep_objects"] == "yes",
        limit_s=options["deadline"],
    )
