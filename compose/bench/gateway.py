"""What the gateway costs beside nginx as a plain proxy to the same server, and how long signing in takes."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

from stage import Process, figure, free_port, percentile, say, temporary

# Rounds in turns, so that a busy moment of the machine hits both; the median counts.
ROUNDS, ROUND_SECS, CONNECTIONS = 5, 6, 32
LOGINS_PER_SEC, LOGIN_SECS = 10, 20
HEALTH_ASKED = 200
# Tries of a wrong password for each side, in turns.
TRIES = 150
KEY, SECRET, PASSWORD = "bench-key", "0123456789abcdef0123456789abcdef", "correct horse battery"


def through(stage):
    """A user's upload of 1 KiB, with its token checked and counted, through both to the same nginx."""
    with platform(stage) as sign_in, nginx_proxy(stage) as nginx_port, gateway(stage, sign_in) as gateway_port:
        token = register(sign_in, "load@example.com")
        say(f"gateway and nginx, {CONNECTIONS} connections, {ROUNDS} rounds")
        rounds = [(load(stage, gateway_port, token), load(stage, nginx_port, token)) for _ in range(ROUNDS)]
    (ours, our_p99), (theirs, their_p99) = (
        [statistics.median(values) for values in zip(*side)] for side in zip(*rounds)
    )
    return [
        figure("gateway, token checked and counted (nginx: plain proxy), requests/s", ours, theirs, digits=0, at_least=0.7),
        figure("gateway, token checked and counted (nginx: plain proxy), p99 ms", our_p99, their_p99, digits=2, at_most=1.5),
    ]


def sign_in(stage):
    with platform(stage) as port, gateway(stage, port) as gateway_port:
        register(port, "login@example.com")
        say(f"{LOGINS_PER_SEC} logins a second")
        logins = [milliseconds for milliseconds, status in paced_logins(port) if status == 200]
        say("health of the gateway")
        health = [timed(gateway_port, "GET", "/api/health")[0] for _ in range(HEALTH_ASKED)]
        say("unknown account and wrong password, in turns")
        unknown, wrong = refusals(port)
    longer = sum((a > b) + (a == b) / 2 for a in unknown for b in wrong) / (len(unknown) * len(wrong))
    return [
        figure(f"login, {LOGINS_PER_SEC} a second: p95 ms", percentile(logins, 95), None, at_most=150),
        figure(f"login, {LOGINS_PER_SEC} a second: answered 200, %", 100 * len(logins) / (LOGINS_PER_SEC * LOGIN_SECS), None, at_least=100),
        figure("gateway health, five of six services missing: p95 ms", percentile(health, 95), None, at_most=20),
        figure("wrong password, median ms (peer: unknown account)", statistics.median(wrong), statistics.median(unknown)),
        figure("an unknown account takes longer than a wrong password, share of pairs", longer, None, digits=2, at_least=0.35, at_most=0.65),
    ]


def platform(stage):
    return stage.platform(tempfile.mkdtemp(dir=stage.folder), JWT_SECRET=SECRET, API_KEY=KEY)


@contextlib.contextmanager
def gateway(stage, sign_in):
    port = free_port()
    environment = os.environ | {"JWT_SECRET": SECRET, "API_KEY": KEY, "PORT": str(port), "LOG_LEVEL": "error"}
    environment |= {"PLATFORM_SERVICES_URL": f"http://127.0.0.1:{sign_in}", "RATE_LIMIT_RPM": "4000000000"}
    environment |= {"AUTOMATION_SERVICES_URL": stage.url().rstrip("/")}
    with Process(stage.program("api-gateway"), "run", env=environment) as process:
        process.until(port, "/livez")
        yield port


@contextlib.contextmanager
def nginx_proxy(stage):
    folder, port = pathlib.Path(tempfile.mkdtemp(dir=stage.folder)), free_port()
    folder.chmod(0o755)
    config = folder / "nginx.conf"
    config.write_text(f"""daemon off; worker_processes auto; pid {folder}/nginx.pid; error_log stderr emerg;
        events {{ worker_connections 4096; }}
        http {{ access_log off; {temporary(folder)} upstream there {{ server 127.0.0.1:{stage.nginx_port}; keepalive 64; }}
          server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://there;
            proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}""")
    with Process("nginx", "-p", folder, "-c", config, "-e", "stderr") as process:
        process.until(port, "/")
        yield port


def load(stage, port, token):
    """Returns requests a second, and the 99th percentile in milliseconds."""
    script = stage.folder / "upload.lua"
    script.write_text(f"""wrk.method = "POST"; wrk.body = string.rep("x", 1024)
        wrk.headers["Authorization"] = "Bearer {token}"; wrk.headers["Content-Type"] = "application/octet-stream"
        done = function(summary, latency, requests)
          local errors = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
          print("found " .. summary.requests * 1e6 / summary.duration .. " " .. latency:percentile(99) / 1000 .. " " .. errors)
        end""")
    url = f"http://127.0.0.1:{port}/api/v1/files/upload"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{ROUND_SECS}s", "-s", str(script), url]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate, p99, errors = re.search(r"^found (\S+) (\S+) (\S+)$", printed, re.MULTILINE).groups()
    if errors != "0":
        raise SystemExit(f"bench: {errors} requests through port {port} went wrong:\n{printed}")
    return float(rate), float(p99)


def timed(port, method, path, body=None, **headers):
    """Returns milliseconds, status and body of a request's answer on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    began = time.perf_counter()
    try:
        connection.request(method, path, body and json.dumps(body), {"content-type": "application/json"} | headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    return (time.perf_counter() - began) * 1000, answer.status, text


def register(port, email):
    body = {"name": "Bench", "email": email, "password": PASSWORD}
    return json.loads(timed(port, "POST", "/auth/register", body)[2])["access_token"]


def paced_logins(port):
    body = {"email": "login@example.com", "password": PASSWORD}
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        waiting, began = [], time.monotonic()
        for number in range(LOGINS_PER_SEC * LOGIN_SECS):
            time.sleep(max(0, began + number / LOGINS_PER_SEC - time.monotonic()))
            waiting.append(pool.submit(timed, port, "POST", "/auth/login", body))
        return [it.result()[:2] for it in waiting]


def refusals(port):
    """Returns milliseconds of refused logins: of accounts that do not exist, and with wrong passwords of those that do."""
    found = ([], [])
    for number in range(TRIES):
        # An account bears a few tries before it is locked, and so does an address.
        known, address = f"known-{number // 3}@example.com", {"x-forwarded-for": f"192.0.2.{number // 3 % 250}"}
        if number % 3 == 0:
            register(port, known)
        for side, email in zip(found, [f"unknown-{number // 3}@example.com", known]):
            milliseconds, status, _ = timed(port, "POST", "/auth/login", {"email": email, "password": "wrong"}, **address)
            if status != 401:
                raise SystemExit(f"bench: a wrong password was answered {status}")
            side.append(milliseconds)
    return found
