"""Verifies messages with the Python library of Standard Webhooks.

Reads a JSON array of {"secret", "body", "headers"} on standard input, writes a JSON array of booleans.
"""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def is_valid(case):
    try:
        Webhook(case["secret"]).verify(case["body"], case["headers"], json_parse=False)
    except WebhookVerificationError:
        return False
    return True


json.dump([is_valid(case) for case in json.load(sys.stdin)], sys.stdout)
