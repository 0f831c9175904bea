"""What a probe costs here and in blackbox_exporter, and what the programs weigh."""

import contextlib
import http.client
import json
import pathlib
import statistics
import subprocess
import sys
import threading
import time

from stage import SETTLE_SECS, Process, ask, figure, free_port, memory_mib, say

# Rounds of the saturated runs, in turns, so that a busy moment of the machine hits both; the median counts.
ROUNDS, ROUND_SECS = 3, 5
IN_FLIGHT = 16
# 100 services with 10 checks each, all every 10 s, are 100 probes a second.
SERVICES, CHECKS_EACH, EVERY_SECS, PACE, PACED_SECS = 100, 10, 10, 100, 30
STARTS = 5


def measure(stage):
    say(f"saturated, {IN_FLIGHT} in flight, {ROUNDS} rounds")
    http = saturated(stage, stage.url())
    say(f"saturated, https with a full handshake, {IN_FLIGHT} in flight, {ROUNDS} rounds")
    https = saturated(stage, stage.tls_url())
    say(f"paced, {PACE} probes a second")
    paced = [ours_paced(stage), blackbox_paced(stage)]
    say("idle memory, start, size")
    (ours, ours_own), (theirs, theirs_own) = ours_memory(stage), blackbox_memory(stage)
    sizes = [program.stat().st_size / 1e6 for program in [stage.program("monitor"), stage.blackbox]]
    return [
        figure("CPU s / 1000 http probes, saturated", *http, digits=3),
        figure("CPU s / 1000 https probes, full handshake, saturated", *https, digits=3),
        figure("CPU s / 1000 http probes, 100/s, whole daemon", *paced, digits=3),
        figure("RSS with one check, MiB", ours, theirs),
        figure("of that not pages of files, MiB", ours_own, theirs_own),
        figure("start until the first answer, ms", ours_start(stage), blackbox_start(stage)),
        figure("binary, MB", *sizes),
        figure("keeper of one process, not pages of files, MiB", keeper_memory(stage), None),
    ]


def saturated(stage, url):
    rounds = [(ours_saturated(stage, url), blackbox_saturated(stage, url)) for _ in range(ROUNDS)]
    return [statistics.median(side) for side in zip(*rounds)]


def ours_saturated(stage, url):
    # Both trust this one certificate, and check it.
    trusted = [stage.folder / "certificate.pem"] if url == stage.tls_url() else []
    command = [stage.program("probe_load"), url, IN_FLIGHT, ROUND_SECS, *trusted]
    done = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    return found["cpu_secs"] * 1000 / found["probes"]


def services(stage, count, checks):
    settings = f"http: {{ url: {stage.url()} }}, every: {EVERY_SECS}s"
    checks = ", ".join(f"check-{number}: {{ {settings} }}" for number in range(checks))
    return "".join(f"  service-{number}: {{ checks: {{ {checks} }} }}\n" for number in range(count))


def ours_paced(stage):
    monitor, port = stage.start_monitor(services(stage, SERVICES, CHECKS_EACH))
    with monitor:
        monitor.until(port, "/livez")
        # The first two rounds write state: a streak is news until it is long enough to recover (`recover_after`).
        time.sleep(EVERY_SECS * 2.5)
        return stage.cost(monitor, lambda: time.sleep(PACED_SECS))


def ours_memory(stage):
    monitor, port = stage.start_monitor(services(stage, 1, 1))
    with monitor:
        monitor.until(port, "/livez")
        time.sleep(SETTLE_SECS)
        return memory_mib(monitor.pid, "VmRSS"), memory_mib(monitor.pid, "RssAnon")


def ours_start(stage):
    def start():
        monitor, port = stage.start_monitor(services(stage, 1, 1))
        with monitor:
            return monitor.until(port, "/livez") * 1000

    return statistics.median(start() for _ in range(STARTS))


def keeper_memory(stage):
    """Memory that the keeper has for itself: its code is the monitor's, which is in memory once."""
    service = "  sleeper: { workload: { process: { command: [sleep, '1000'] } } }\n"
    # `up` and not `run`: should this program be killed, the process ends with the monitor.
    monitor, port = stage.start_monitor(service, "up")
    with monitor:
        monitor.until(port, "/livez")
        time.sleep(SETTLE_SECS)
        keepers = pathlib.Path(f"/proc/{monitor.pid}/task").glob("*/children")
        pids = [pid for children in keepers for pid in children.read_text().split()]
        return max(memory_mib(pid, "RssAnon") for pid in pids)


def start_blackbox(stage):
    config = stage.folder / "blackbox.yml"
    tls = f"tls_config: {{ ca_file: {stage.folder}/certificate.pem }}"
    config.write_text(f"modules: {{ http_2xx: {{ prober: http, http: {{ preferred_ip_protocol: ip4, {tls} }} }} }}\n")
    port = free_port()
    options = [f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    return Process(stage.blackbox, *options), port


def probe_path(stage, url=None):
    return f"/probe?module=http_2xx&target={url or stage.url()}"


@contextlib.contextmanager
def warm_blackbox(stage, url=None):
    exporter, port = start_blackbox(stage)
    with exporter:
        exporter.until(port, "/-/healthy")
        status, text = ask(port, probe_path(stage, url))
        if status != 200 or "\nprobe_success 1" not in text:
            sys.exit(f"bench: blackbox does not pass: {status} {text}")
        drive(stage, port, 2, url)
        yield exporter, port


def drive(stage, port, seconds, url=None):
    probe = f"http://127.0.0.1:{port}{probe_path(stage, url)}"
    command = ["wrk", "-t1", f"-c{IN_FLIGHT}", f"-d{seconds}s", probe]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def blackbox_saturated(stage, url):
    with warm_blackbox(stage, url) as (exporter, port):
        return stage.cost(exporter, lambda: drive(stage, port, ROUND_SECS, url))


def blackbox_paced(stage):
    with warm_blackbox(stage) as (exporter, port):
        return stage.cost(exporter, lambda: pace(stage, port))


def pace(stage, port):
    """Asks the exporter PACE times a second over a few lasting connections, as Prometheus does."""
    count = 4
    begin = time.monotonic()

    def scrape(number):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for turn in range(number, PACE * PACED_SECS, count):
            time.sleep(max(0.0, begin + turn / PACE - time.monotonic()))
            connection.request("GET", probe_path(stage))
            connection.getresponse().read()
        connection.close()

    scrapers = [threading.Thread(target=scrape, args=(number,)) for number in range(count)]
    for scraper in scrapers:
        scraper.start()
    for scraper in scrapers:
        scraper.join()


def blackbox_memory(stage):
    exporter, port = start_blackbox(stage)
    with exporter:
        exporter.until(port, "/-/healthy")
        ask(port, probe_path(stage))
        time.sleep(SETTLE_SECS)
        return memory_mib(exporter.pid, "VmRSS"), memory_mib(exporter.pid, "RssAnon")


def blackbox_start(stage):
    def start():
        exporter, port = start_blackbox(stage)
        with exporter:
            return exporter.until(port, "/-/healthy") * 1000

    return statistics.median(start() for _ in range(STARTS))
