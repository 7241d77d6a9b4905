"""Payloads in S3-compatible storage: uploaded before a request and results downloaded after it, as phases of their own (boto3)."""
