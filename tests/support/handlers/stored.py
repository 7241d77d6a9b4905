"""A handler whose input and output are objects in a store: it fetches the URL, and puts what it made next to the input."""

import hashlib
import os
import urllib.request

import boto3
import runpod

store = boto3.client("s3")


def handler(job):
    given = job["input"]
    with urllib.request.urlopen(given["url"], timeout=60) as answer:
        content = answer.read()
    made = given["key"] + ".out"
    store.put_object(Bucket=given["bucket"], Key=made, Body=content * 2)
    return {"key": made, "sha256": hashlib.sha256(content).hexdigest(), "pid": os.getpid()}


runpod.serverless.start({"handler": handler})
