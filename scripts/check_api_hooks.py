"""What schemathesis does not know by itself: JSON Lines, which batches are sent in and answered with."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def as_lines(_, value):
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value)).encode(errors="surrogatepass")


@schemathesis.deserializer("application/x-ndjson")
def last_line(_, response):
    """Each line must be JSON; the last, the summary or the problem, stands for all of them."""
    return [json.loads(line) for line in response.content.splitlines()][-1]
