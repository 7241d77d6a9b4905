"""An S3 store as a process of its own (moto), and a proxy before it that is slow, fails, or goes down on demand."""

import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import boto3
from botocore import loaders

from tests.support.locusts import ROOT

# Each client would read the service's description anew: 2 MB of JSON.
loaders.create_loader = cache(loaders.create_loader)

BUCKET = "load-tests"
KEYS = {"AWS_ACCESS_KEY_ID": "access-of-the-test", "AWS_SECRET_ACCESS_KEY": "secret-of-the-test", "AWS_DEFAULT_REGION": "us-east-1"}
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_SERVE = """
from moto.server import ThreadedMotoServer
import threading
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
threading.Event().wait()
"""


class MotoStore:
    """A started store with the bucket BUCKET."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = boto3.client("s3", endpoint_url=url, aws_access_key_id="look", aws_secret_access_key="look", region_name="us-east-1")
        self.client.create_bucket(Bucket=BUCKET)

    def env(self, url: str = "") -> dict[str, str]:
        """What boto3 reads of the environment."""
        return {**KEYS, "AWS_ENDPOINT_URL_S3": url or self.url, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}

    def stored(self) -> list[str]:
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", ())]

    def unfinished(self) -> int:
        return len(self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()))

    def clear(self) -> None:
        for key in self.stored():
            self.client.delete_object(Bucket=BUCKET, Key=key)


@contextmanager
def moto() -> Iterator[MotoStore]:
    process = subprocess.Popen([sys.executable, "-c", _SERVE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout
        yield MotoStore(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Proxy:
    """Passes requests on to a store.

    Attributes:
        rule: called with method and path before each; bytes are the answer, in place of the store's, with ``status``.
        edit: called with method and content of each answer of the store; what it returns is sent on, with the store's headers.
        seen: method and path of each request.
    """

    def __init__(self, store: str, server: ThreadingHTTPServer) -> None:
        self.store, self._server = store, server
        self.rule: Callable[[str, str], bytes | None] = lambda _method, _path: None
        self.edit: Callable[[str, bytes], bytes] = lambda _method, content: content
        self.status = 503
        self.seen: list[tuple[str, str]] = []
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    def count(self, method: str) -> int:
        return sum(one == method for one, _ in self.seen)


@contextmanager
def proxy(store: str) -> Iterator[Proxy]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            front.seen.append((self.command, self.path))
            made = front.rule(self.command, self.path)
            if made is not None:
                self.answer(front.status, {"Content-Type": "application/xml"}, made)
                return
            # The host is part of what was signed.
            link = http.client.HTTPConnection(urlsplit(front.store).netloc, timeout=300)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "expect")}
            link.request(self.command, self.path, body, headers)
            answer = link.getresponse()
            content = front.edit(self.command, answer.read())
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in ("connection", "transfer-encoding")}
            self.answer(answer.status, kept, content)
            link.close()

        def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            if self.command != "HEAD":
                headers = {**{name: value for name, value in headers.items() if name.lower() != "content-length"}}
                headers["Content-Length"] = str(len(content))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size, daemon_threads = 128, True

    with Server(("127.0.0.1", 0), Handler) as server:
        front = Proxy(store, server)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield front
        finally:
            server.shutdown()
            thread.join()


def patched(program: str, env: dict[str, str]) -> dict:
    """What ``program`` prints as JSON, in a process that is patched by gevent as Locust's are."""
    whole = f"from gevent import monkey\nmonkey.patch_all()\n{program}"
    done = subprocess.run(
        [sys.executable, "-c", whole], env={**os.environ, **env}, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) | {"stderr": done.stderr}
