"""The tables about what a run sent and received: audio, tokens, files in an object store."""

from __future__ import annotations

from collections.abc import Iterator

from ..tables.run_tables import Tables
from ..text.method_remark import method_remark
from ..text.number_format import interval_text, number, percent, seconds
from ..text.sheet import Sheet
from .video_sheets import video_sheets


def workload_sheets(of: Tables) -> Iterator[Sheet]:
    """The tables that the run can fill."""
    yield from _transfers(of)
    yield from _tokens(of)
    yield from _audio(of)
    yield from video_sheets(of)


def _transfers(of: Tables) -> Iterator[Sheet]:
    found = of.object_transfers
    if found is None:
        return
    times = (("upload", found.upload), ("download", found.download), ("end to end", found.end_to_end))
    rows = [
        (f"{name} P{p}", seconds(sample.at(p).value), interval_text(sample.at(p))) for name, sample in times if sample.n for p in (50, 95)
    ]
    rows += [(f"{name} max", seconds(sample.maximum), f"n = {sample.n:,}") for name, sample in times if sample.n]
    rows.append(("calls sent again by boto3", f"{found.retried:,}", ""))
    remark = "End to end: from scheduled to the result in hand, of answered ok. Response times contain neither upload nor download."
    if found.discarded:
        rows.append(
            ("connections discarded", f"{found.discarded:,}", f"the pool holds {found.pool}, and up to {found.at_once} were in use")
        )
        remark += f" The connection pool was too small: use --objects-pool {found.at_once}."
    yield Sheet(
        "Object storage", ("", "Value", "95 % interval"), tuple(rows), f"{remark} {method_remark(*(one for _, one in times if one.n))}"
    )


def _tokens(of: Tables) -> Iterator[Sheet]:
    found = of.tokens
    if found is None:
        return
    first = "time to first token" if found.tokens_out else "time to first output"
    times = ((first, found.ttft), ("time per output token", found.per_token))
    rows = [
        (f"{name} P{p}", seconds(sample.at(p).value), interval_text(sample.at(p))) for name, sample in times if sample.n for p in (50, 95)
    ]
    for p, gap in ((50, found.gap_p50), (95, found.gap_p95)) if found.gap_p50.n else ():
        rows.append((f"time between chunks, P{p} of the requests' P{p}", seconds(gap.at(p).value), interval_text(gap.at(p))))
    if found.gap_max_s is not None:
        rows.append(("longest time between two chunks", seconds(found.gap_max_s), ""))
    if found.tokens_out:
        rows.append(("output tokens per second", number(found.per_s, "tokens per s"), f"{found.tokens_out:,} tokens ÷ measured wall time"))
    if found.tokens_in is not None:
        rows.append(("prompt tokens", f"{found.tokens_in:,}", ""))
    counted = f" {found.counted:,} of them reported no usage: their chunks are counted as tokens." if found.counted else ""
    remark = f"n = {found.n:,} requests answered ok; times from sending. {method_remark(found.ttft, found.per_token)}{counted}"
    yield Sheet("Tokens" if found.tokens_out else "Streamed answers", ("", "Value", "95 % interval"), tuple(rows), remark)


def _audio(of: Tables) -> Iterator[Sheet]:
    heard = of.audio
    if heard is None:
        return
    rows = [
        ("audio throughput", number(heard.per_s, "audio s per s"), "higher is better; audio answered ok ÷ measured wall time"),
        ("real-time factor P50", number(heard.p50, "×"), "higher is faster; audio ÷ service time of each ok request"),
        ("real-time factor P5", number(heard.p5, "×"), "19 of 20 requests are at least this fast"),
    ]
    if heard.wer_n:
        rows.append(("word error rate, mean", percent(heard.wer_mean), f"n = {heard.wer_n:,}; lower is better"))
        rows.append(("word error rate, max", percent(heard.wer_max), ""))
    remark = f"n = {heard.n:,} requests answered ok, {number(heard.seconds)} s of audio."
    yield Sheet("Audio", ("", "Value", "How"), tuple(rows), remark, aside=True)
