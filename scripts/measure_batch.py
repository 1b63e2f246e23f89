#!/usr/bin/env python3
"""Measures POST /v1/claims/batch with generated CSVs of growing size: the time to the first and the last result, and the peak
resident memory of the service. Then it breaks a batch off in the middle and sends it again with the same key.

    python3 scripts/measure_batch.py [--binaries target/release] [--postgres URL] [--claims 10000 100000 1000000]

It starts local_broker and claim_process on ports of their own, with a new database for each size: SQLite in a temporary
directory, or with --postgres a database that it creates and drops (it needs psql).
"""

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

NAMES = b"service date,submitted procedure,quadrant,Plan/Group #,Subscriber#,Provider NPI,provider fees,Allowed fees,member coinsurance,member copay\n"
PROVIDERS = [b"1497775530", b"1234567893", b"1993999998", b"1245319599"]
PORT, BROKER_PORT = 18700, 18792
PATIENCE_S = 3600


def rows(first, last):
    """Claims of one row each, as CSV."""
    return b"".join(
        b"3/28/18 0:00,D0180,UR,GRP-%d,%d,%s,$%d.%02d ,10.00,0.00,0.00\n"
        % (number % 50, 1_000_000_000 + number, PROVIDERS[number % 4], 10 + number % 900, number % 100)
        for number in range(first, last)
    )


class Service:
    """A claim_process with a database of its own."""

    def __init__(self, arguments, directory, name):
        self.postgres = arguments.postgres
        self.name = name
        url = f"sqlite://{directory}/{name}.db"
        if self.postgres:
            self.sql(f'DROP DATABASE IF EXISTS "{name}"')
            self.sql(f'CREATE DATABASE "{name}"')
            url = re.sub(r"/[^/]*$", f"/{name}", self.postgres)
        environment = dict(
            os.environ,
            CLAIM_PROCESS__HTTP__PORT=str(PORT),
            CLAIM_PROCESS__DATABASE__URL=url,
            CLAIM_PROCESS__KAFKA__BROKERS=f"127.0.0.1:{BROKER_PORT}",
            # The broker drops what exceeds its memory, and no payments consumes it: claims must not be re-published.
            CLAIM_PROCESS__WATCHDOG__FIRST_PAUSE_MS="3600000",
            CLAIM_PROCESS__WATCHDOG__MAX_PAUSE_MS="3600000",
        )
        self.log = open(f"{directory}/{name}.log", "wb")
        self.process = subprocess.Popen([f"{arguments.binaries}/claim_process"], env=environment, stdout=self.log, stderr=self.log)
        until = time.time() + 60
        while True:
            try:
                self.get("/readyz")
                return
            except OSError:
                if self.process.poll() is not None or time.time() > until:
                    sys.exit(f"claim_process is not ready; see {directory}/{name}.log")
                time.sleep(0.1)

    def sql(self, statement):
        subprocess.run(["psql", "-qX", self.postgres, "-c", statement], check=True, stderr=subprocess.DEVNULL)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=60) as answer:
            return json.load(answer)

    def peak_mb(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1)) / 1000

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.log.close()
        if self.postgres:
            self.sql(f'DROP DATABASE "{self.name}"')


def send(claims, key, break_off_after=None):
    """Sends a batch chunk by chunk while reading results. Returns the seconds to the first result, and the summary."""
    wire = socket.create_connection(("127.0.0.1", PORT), PATIENCE_S)
    began = time.monotonic()
    wire.sendall(
        f"POST /v1/claims/batch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\nIdempotency-Key: {key}\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
    )
    seen = {"first": None, "tail": b"", "results": 0}

    def read():
        with contextlib.suppress(OSError):
            while piece := wire.recv(1 << 16):
                seen["results"] += piece.count(b'"index"')
                if seen["first"] is None and b'"index"' in piece:
                    seen["first"] = time.monotonic() - began
                seen["tail"] = (seen["tail"] + piece)[-500:]

    reader = threading.Thread(target=read)
    reader.start()

    def chunk(body):
        wire.sendall(b"%x\r\n%s\r\n" % (len(body), body))

    chunk(NAMES)
    for first in range(0, claims, 1000):
        if break_off_after is not None and first >= break_off_after:
            wire.shutdown(socket.SHUT_RDWR)
            break
        chunk(rows(first, min(first + 1000, claims)))
    else:
        wire.sendall(b"0\r\n\r\n")
    reader.join()
    wire.close()
    summary = re.search(rb'\{"summary":(\{.*?\})\}', seen["tail"])
    return seen["first"], json.loads(summary.group(1)) if summary else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", default="target/release")
    parser.add_argument("--postgres")
    parser.add_argument("--claims", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    arguments = parser.parse_args()
    broker = subprocess.Popen([f"{arguments.binaries}/local_broker", "--listen", f"127.0.0.1:{BROKER_PORT}"], stdout=subprocess.DEVNULL)
    try:
        with tempfile.TemporaryDirectory() as directory:
            print(f"{'claims':>9}  {'MB sent':>7}  {'first result s':>14}  {'all s':>7}  {'claims/s':>8}  {'peak MB':>7}")
            for claims in arguments.claims:
                service = Service(arguments, directory, f"batch_{claims}")
                began = time.monotonic()
                first, summary = send(claims, "measured")
                took = time.monotonic() - began
                assert summary == {"claims": claims, "accepted": claims, "rejected": 0, "duplicates": 0}, summary
                megabytes = len(rows(0, 1000)) * claims / 1e9
                print(f"{claims:>9}  {megabytes:>7.1f}  {first:>14.3f}  {took:>7.1f}  {claims / took:>8.0f}  {service.peak_mb():>7.1f}", flush=True)
                service.stop()
            claims = arguments.claims[0]
            service = Service(arguments, directory, "batch_broken")
            send(claims, "night", break_off_after=claims // 2)
            time.sleep(2)
            stored = service.get("/v1/reconciliation")["submitted"]["claims"]
            _, summary = send(claims, "night")
            after = service.get("/v1/reconciliation")["submitted"]["claims"]
            print(f"broken off in the middle: {stored} stored; sent again whole: {summary}; stored now: {after}")
            assert summary["duplicates"] == stored and summary["accepted"] == claims - stored and after == claims
            service.stop()
    finally:
        broker.terminate()
        broker.wait(10)


main()
