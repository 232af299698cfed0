"""Verifies signatures in forms of services' own, with Python's hmac, as receivers of these services do.

Reads a JSON array of {"form", "secret", "body", "headers"} on standard input, writes a JSON array of booleans.
"""

import base64
import hashlib
import hmac
import json
import sys
import time


def wa_gateway(secret, body, headers):
    """Hexadecimal HMAC-SHA-512 of the body; its algorithm, the event and the milliseconds beside it."""
    expected = hmac.new(secret.encode(), body, hashlib.sha512).hexdigest()
    age = time.time() - int(headers["x-webhook-timestamp"]) / 1000
    return (
        headers["x-webhook-hmac-algorithm"] == "sha512"
        and headers["x-webhook-request-id"] != ""
        and abs(age) < 300
        and hmac.compare_digest(expected, headers["x-webhook-hmac"])
    )


def gosendapi(secret, body, headers):
    """`sha256=` and hexadecimal HMAC-SHA-256 of the body; one of a list."""
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    given = headers["x-gosendapi-signature"].split(",")
    return any(hmac.compare_digest(expected, one) for one in given)


def connexease(secret, body, headers):
    """The secret itself."""
    return hmac.compare_digest("Bearer " + secret, headers["authorization"])


def timestamped(secret, body, headers):
    """Base64 HMAC-SHA-256 of seconds, a full stop and the body."""
    signed = headers["x-timestamp"].encode() + b"." + body
    expected = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(expected, headers["x-signature"])


FORMS = {form.__name__: form for form in [wa_gateway, gosendapi, connexease, timestamped]}


def is_valid(case):
    return FORMS[case["form"]](case["secret"], case["body"].encode(), case["headers"])


json.dump([is_valid(case) for case in json.load(sys.stdin)], sys.stdout)
