"""Many checks, and a long history."""

import http.client
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from stage import SETTLE_SECS, Process, figure, free_port, memory_mib, percentile, say

EVERY_SECS = 10
# As many checks as one monitor is asked to bear, all every EVERY_SECS, and how long it is watched doing so.
MANY, MANY_SECS = 10_000, 60
# A long history: as many services, one check each, days, seconds between two probes; and how often a page of it is asked for.
HISTORY_SERVICES, HISTORY_DAYS, HISTORY_EVERY_SECS, PAGES = 1000, 90, 30, 300


def many(stage):
    """Judges and stores MANY checks every EVERY_SECS; how far the starts of probes are from their interval."""
    say(f"{MANY} checks every {EVERY_SECS} s")
    url = f"http://127.0.0.1:{stage.nginx_port}/many"
    check = "check-{n}: {{ http: {{ url: {url}/{service}/{n} }}, every: {every}s }}"
    services = "".join(
        f"  service-{service}: {{ checks: {{ "
        + ", ".join(check.format(n=n, url=url, service=service, every=EVERY_SECS) for n in range(10))
        + " } }\n"
        for service in range(MANY // 10)
    )
    monitor, port = stage.start_monitor(services)
    with monitor:
        monitor.until(port, "/livez")
        # Until every check has started its rounds, and streaks are no news any more.
        time.sleep(EVERY_SECS * 3)
        begin, cpu_secs = time.time(), monitor.cpu_secs()
        time.sleep(MANY_SECS)
        end, cpu_secs = time.time(), monitor.cpu_secs() - cpu_secs
        rss = memory_mib(monitor.pid, "VmRSS")
    time.sleep(2)
    gaps = [abs(gap - EVERY_SECS) * 1000 for gap in stage.gaps("/many/", begin, end)]
    if len(gaps) < MANY * (MANY_SECS / EVERY_SECS - 2):
        sys.exit(f"bench: only {len(gaps)} pairs of probes of {MANY} checks in {MANY_SECS} s")
    return [
        figure(f"{MANY} checks / {EVERY_SECS} s: start jitter, p99 ms", percentile(gaps, 99), None),
        figure(f"{MANY} checks / {EVERY_SECS} s: cores", cpu_secs / (end - begin), None, digits=2),
        figure(f"{MANY} checks / {EVERY_SECS} s: RSS, MiB", rss, None),
    ]


def long_history(stage):
    say(
        f"{HISTORY_DAYS} days of {HISTORY_SERVICES} checks every {HISTORY_EVERY_SECS} s: written as a monitor writes them"
    )
    folder = pathlib.Path(tempfile.mkdtemp(dir=stage.folder))
    # In memory, and then onto the disk: three months of waiting for the disk every hour would be half an hour here.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        command = [stage.program("history_fill"), f"{memory}/data", HISTORY_SERVICES, HISTORY_DAYS, HISTORY_EVERY_SECS]
        subprocess.run([str(word) for word in command], check=True)
        shutil.move(f"{memory}/data", folder / "data")
    size = sum(file.stat().st_size for file in (folder / "data").glob("history.db*"))
    port = free_port()
    check = f"check: {{ http: {{ url: {stage.url()} }}, every: {HISTORY_EVERY_SECS}s }}"
    services = "".join(f"  service-{number}: {{ checks: {{ {check} }} }}\n" for number in range(HISTORY_SERVICES))
    config = folder / "monitor.yml"
    config.write_text(f"listen: 127.0.0.1:{port}\ndata_dir: {folder}/data\nservices:\n{services}")
    monitor = Process(stage.program("monitor"), "run", "--config", config, env=os.environ | {"LOG_LEVEL": "info"})
    with monitor:
        start = monitor.until(port, "/livez") * 1000
        stage.until_up(monitor, port, HISTORY_SERVICES)
        time.sleep(SETTLE_SECS)
        status = took(port, lambda turn: "/api/v1/status")
        front = took(port, lambda turn: "/")
        pages = [
            took(port, lambda turn, days=days: f"/services/service-{turn * 7 % HISTORY_SERVICES}?back={days}")
            for days in ["1h", "24h", "30d"]
        ]
        rss = memory_mib(monitor.pid, "VmRSS")
    name = f"{HISTORY_SERVICES} services, {HISTORY_DAYS} days"
    return [
        figure(f"{name}: history on disk, MB", size / 1e6, None),
        figure(f"{name}: start until the first answer, ms", start, None),
        figure(f"{name}: status JSON, p99 ms", percentile(status, 99), None),
        figure(f"{name}: overview page, p99 ms", percentile(front, 99), None),
        figure(f"{name}: page of a service, any range, p99 ms", max(percentile(times, 99) for times in pages), None),
        figure(f"{name}: RSS, MiB", rss, None),
    ]


def took(port, path):
    """Returns how many milliseconds each of PAGES answers took, from the request's first byte to the answer's last."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    times = []
    for turn in range(PAGES):
        begin = time.perf_counter()
        connection.request("GET", path(turn))
        answer = connection.getresponse()
        answer.read()
        times.append((time.perf_counter() - begin) * 1000)
        if answer.status != 200:
            sys.exit(f"bench: {path(turn)} answers {answer.status}")
    connection.close()
    return times
