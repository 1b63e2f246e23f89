"""Teaches schemathesis JSON Lines, the format of batches and their results."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def as_lines(_, value):
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value)).encode(errors="surrogatepass")


@schemathesis.deserializer("application/x-ndjson")
def last_line(_, response):
    """Parses every line, and returns the last one: the summary or the problem."""
    return [json.loads(line) for line in response.content.splitlines()][-1]
