#!/usr/bin/env python3
"""Sends claims of all fates to a running system, and checks that each ended as it must. It uses only HTTP.

usage: check_claims.py send CLAIMS_URL COUNT SECONDS FILE    sends COUNT claims over SECONDS, and retries each until it is accepted
       check_claims.py audit CLAIMS_URL PAYMENTS_URL GATEWAY_URL FILE SECONDS    waits up to SECONDS until all have ended
"""
import json
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid

# Cents of the net fee, the plan's name, and how the claim ends; see "What the cents choose" in crates/simulated_gateway/README.md.
FATES = [
    ("00", "GRP-1000", "settled"),
    ("31", "GRP-1000", "unwound"),
    ("37", "GRP-1000", "settled"),
    ("41", "GRP-1000", "settled"),
    ("43", "GRP-1000", "settled"),
    ("47", "GRP-1000", "unwound"),
    ("11", "BROKE-1", "unwound"),
    ("85", "GRP-1000", "settled"),
]
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def request_json(url, body=None, headers=None, timeout=15):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **(headers or {})})
    with DIRECTLY.open(request, timeout=timeout) as answer:
        return json.load(answer)


def accepted(url, number):
    """Sends one claim, and retries with the same key until it is accepted."""
    cents, plan, end = FATES[number % len(FATES)]
    claim = {
        "service_date": "2018-03-28", "submitted_procedure": "D0180", "plan_group": plan, "subscriber_id": "3730189502",
        "provider_npi": "1497775530", "provider_fees": f"{100 + number}.{cents}", "allowed_fees": "0.00",
        "member_coinsurance": "0.00", "member_copay": "0.00",
    }
    key = {"idempotency-key": uuid.uuid4().hex}
    until = time.monotonic() + 180
    while True:
        try:
            return request_json(f"{url}/v1/claims", claim, key)["id"], end
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):
                raise
        # Any other error is a refused, broken or slow connection.
        except (OSError, ValueError):
            pass
        if time.monotonic() > until:
            raise TimeoutError(f"claim {number} was not accepted within 180 s")
        time.sleep(0.3)


def send(url, count, seconds, file):
    """Sends each claim at its time, even if earlier ones still wait for an answer."""
    ends, problems = [], []

    def one(number):
        try:
            ends.append(accepted(url, number))
        except Exception as problem:
            problems.append(problem)

    threads = []
    started = time.monotonic()
    for number in range(int(count)):
        time.sleep(max(0.0, started + number * float(seconds) / int(count) - time.monotonic()))
        threads.append(threading.Thread(target=one, args=(number,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    with open(file, "a", encoding="utf-8") as out:
        out.writelines(f"{claim} {end}\n" for claim, end in ends)
    if problems:
        raise SystemExit(f"check_claims.py: {len(problems)} claims were not accepted, the first one: {problems[0]!r}")
    print(f"{len(ends)} claims were accepted")


def pages(url, name, next_name, parameter):
    found, after = [], None
    while True:
        page = request_json(url + (f"&{parameter}={after}" if after else ""))
        found += page[name]
        after = page.get(next_name)
        if not after:
            return found


def pending(claims_url):
    """The number of claims that have not ended; None while claim_process does not answer."""
    try:
        return request_json(f"{claims_url}/v1/reconciliation")["pending"]["claims"]
    except OSError:
        return None


def audit(claims_url, payments_url, gateway_url, file, seconds):
    with open(file, encoding="utf-8") as lines:
        expected = dict(line.split() for line in lines)
    until = time.monotonic() + float(seconds)
    while pending(claims_url) != 0:
        if time.monotonic() > until:
            raise SystemExit(f"check_claims.py: not every claim ended within {seconds} s; pending: {pending(claims_url)}")
        time.sleep(1)
    problems = []

    def must_be(what, found, wanted):
        if found != wanted:
            problems.append(f"{what}: expected {wanted}, found {found}")

    claims = pages(f"{claims_url}/v1/claims?limit=500", "claims", "next_cursor", "cursor")
    stored = {claim["id"]: claim["status"] for claim in claims}
    must_be("accepted claims that are not stored", sorted(expected.keys() - stored.keys()), [])
    must_be("stored claims that were not accepted", sorted(stored.keys() - expected.keys()), [])
    for claim, end in expected.items():
        must_be(f"claim {claim}", stored.get(claim), end)
    must_be("the reconciliation agrees", request_json(f"{claims_url}/v1/reconciliation")["agrees"], True)
    ledger = request_json(f"{payments_url}/v1/ledger/audit?limit=1000")
    book = request_json(f"{gateway_url}/book/summary")
    must_be("the ledger balances", ledger["balanced"], True)
    must_be("claims whose money is off", ledger["off"], [])
    must_be("the ledger's cash equals the gateway's book", ledger["cash_out_cents"], book["net_cents"])
    if problems:
        raise SystemExit("check_claims.py: " + "\n".join(problems[:20]))
    ends = list(stored.values())
    print(f"{len(ends)} claims: {ends.count('settled')} settled, {ends.count('unwound')} unwound; the ledger balances, no claim is off, "
          f"and its cash equals the gateway's book: {book['net_cents']} cents")


if __name__ == "__main__":
    commands = {"send": (send, 4), "audit": (audit, 5)}
    name, rest = (sys.argv + ["", ""])[1], sys.argv[2:]
    if name not in commands or len(rest) != commands[name][1]:
        raise SystemExit(__doc__)
    commands[name][0](*rest)
