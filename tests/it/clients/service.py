"""A service that sends one event with `requests`, and knows nothing of Keygate: service.py URL"""

import sys

import requests

BODY = '{"event":"message","text":"Grüße"}'.encode()
HEADERS = {"Content-Type": "application/json", "X-Event-Id": "evt_1", "X-Customer": "7"}

answer = requests.post(sys.argv[1], data=BODY, headers=HEADERS, timeout=20)
print(answer.text, answer.status_code)
