"""How soon alerts leave, and whether a slow channel disturbs the probes."""

import datetime
import http.server
import json
import pathlib
import socketserver
import sys
import threading
import time

from stage import SETTLE_SECS, ask, figure, percentile, say, wait_for

# Of these services, at the defaults, so many go down one after the other.
WATCHED, GO_DOWN, APART_SECS = 1000, 200, 0.15
# Checks of services that are asked every second, while others go down and come back: so many, one after the other.
STEADY, RESTLESS, JITTER_SECS = 200, 20, 30


def fleet(stage, count):
    """Makes services that are up as long as their file is there; returns the files and the configuration."""
    folder = stage.folder / "services"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    files = [folder / f"service-{number}" for number in range(count)]
    for file in files:
        file.write_text("ok\n")
    url = f"http://127.0.0.1:{stage.nginx_port}/services"
    service = "  {name}: {{ checks: {{ check: {{ http: {{ url: {url}/{name} }} }} }} }}\n"
    return files, "".join(service.format(name=file.name, url=url) for file in files)


def hand_over(stage):
    """From the observation that decides (the incident's `opened`) until the webhook has the message: one clock."""
    say(f"hand-over, {GO_DOWN} of {WATCHED} services go down")
    files, services = fleet(stage, WATCHED)
    with Webhook() as hook:
        channels = f"channels: {{ hook: {{ webhook: {{ url: '{hook.url}' }} }} }}\n"
        monitor, port = stage.start_monitor(services, more=channels)
        with monitor:
            stage.until_up(monitor, port, WATCHED)
            for file in files[:GO_DOWN]:
                file.unlink()
                time.sleep(APART_SECS)
            wait_for(f"{GO_DOWN} incidents at the webhook", lambda: len(hook.opened()) >= GO_DOWN)
            within = histogram_share(port, "monitor_alert_hand_over_seconds", "0.25")
    took = [(arrived - opened) * 1000 for arrived, opened in hook.opened().values()]
    say(f"{len(took)} incidents in {hook.messages} messages; by the monitor's own histogram {within:.1%} within 250 ms")
    return [
        figure(f"alert: decided to accepted, {WATCHED} services, p50 ms", percentile(took, 50), None),
        figure(f"alert: decided to accepted, {WATCHED} services, p99 ms", percentile(took, 99), None),
    ]


def isolation(stage):
    """How far the starts of probes are from their interval, while alerts go out well and while two channels hang."""
    say("isolation, all channels work and then two hang")
    files, services = fleet(stage, STEADY + 2 * RESTLESS)
    with Webhook() as hook, Webhook() as other, MailServer() as mail:
        channels = (
            f"defaults: {{ every: 1s }}\nchannels:\n  hook: {{ webhook: {{ url: '{hook.url}' }} }}\n"
            f"  other: {{ webhook: {{ url: '{other.url}' }} }}\n  mail: {{ email: {{ to: [ops@example.com], "
            f"from: monitor@example.org, smtp: {{ host: 127.0.0.1, port: {mail.port}, tls: none }} }} }}\n"
        )
        monitor, port = stage.start_monitor(services, more=channels)
        with monitor:
            stage.until_up(monitor, port, len(files))
            time.sleep(SETTLE_SECS)
            healthy = jitter(stage, files[STEADY : STEADY + RESTLESS])
            if not (other.messages and mail.messages):
                sys.exit("bench: a channel that should work was told nothing")
            other.hangs, mail.hangs = True, True
            hanging = jitter(stage, files[STEADY + RESTLESS :])
            told = len(hook.opened())
    if told < 2 * RESTLESS or not (other.left_waiting and mail.left_waiting):
        sys.exit(f"bench: {told} of {2 * RESTLESS} incidents at the healthy channel, or none tried on the others")
    return [
        figure("start jitter, channels work, p99 % of the interval", healthy, None, digits=2),
        figure("start jitter, two channels hang, p99 % of the interval", hanging, None, digits=2),
        figure("start jitter, two channels hang / channels work", hanging / healthy, None, digits=2),
    ]


def jitter(stage, files):
    """Returns the 99th percentile of |time between two probes of a check - 1 s|, in percent, while the services of
    `files` go down one after the other and come back. Those are asked more often, so they do not count."""
    begin = time.time()
    apart = JITTER_SECS / 2 / len(files)
    for act in [pathlib.Path.unlink, lambda file: file.write_text("ok\n")]:
        for file in files:
            act(file)
            time.sleep(apart)
    end = time.time()
    steady = {f"/services/service-{number}" for number in range(STEADY)}
    gaps = stage.gaps(steady, begin, end)
    if len(gaps) < STEADY * (JITTER_SECS - 5):
        sys.exit(f"bench: only {len(gaps)} probes in {JITTER_SECS} s")
    return percentile([abs(gap - 1) * 100 for gap in gaps], 99)


class Webhook:
    """Accepts messages and notes when, or hangs."""

    def __init__(self):
        self.hangs, self.left_waiting, self.messages, self.arrivals = False, 0, 0, []
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                arrived = time.time()
                if hook.hangs:
                    hook.left_waiting += 1
                    # Until the other side has had enough.
                    self.rfile.read(1)
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()
                hook.messages += 1
                hook.arrivals.append((arrived, body))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()

    def opened(self):
        """Returns by incident when its opening arrived, and when it happened."""
        found = {}
        for arrived, body in list(self.arrivals):
            for part in json.loads(body)["alerts"]:
                if part["happening"] == "opened":
                    found.setdefault(part["incident"], (arrived, epoch_secs(part["opened"])))
        return found


class MailServer:
    """Takes mail (RFC 5321, as little as is needed), or does not even greet."""

    def __init__(self):
        self.hangs, self.left_waiting, self.messages = False, 0, 0
        mail = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                if mail.hangs:
                    mail.left_waiting += 1
                    self.rfile.read(1)
                    return
                self.wfile.write(b"220 bench ESMTP\r\n")
                while line := self.rfile.readline():
                    verb = line[:4].upper()
                    if verb == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        while self.rfile.readline() not in (b".\r\n", b""):
                            pass
                        mail.messages += 1
                    self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                    if verb == b"QUIT":
                        return

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()


def epoch_secs(text):
    """Reads RFC 3339 in UTC; what is finer than a microsecond is cut."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    at = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc)
    return at.timestamp() + float(f"0.{fraction or 0}")


def histogram_share(port, name, bound):
    """Returns the share of a histogram's values up to a bound."""
    lines = dict(line.rsplit(" ", 1) for line in ask(port, "/metrics")[1].splitlines() if line.startswith(name))
    return float(lines[f'{name}_bucket{{le="{bound}"}}']) / float(lines[f"{name}_count"])
