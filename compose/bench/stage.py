"""What every part of the measurement stands on: processes of ours, one nginx on loopback, and asking."""

import collections
import contextlib
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Until a process has settled after its start.
SETTLE_SECS = 5


class Process:
    """A process of ours: ended, by its pid, when the block that it belongs to ends."""

    def __init__(self, *command, **options):
        self.began = time.monotonic()
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.popen = subprocess.Popen([str(word) for word in command], **(quiet | options))
        self.pid = self.popen.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.popen.terminate()
        try:
            self.popen.wait(20)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()

    def cpu_secs(self):
        stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
        # The name in parentheses may hold spaces; utime and stime are fields 14 and 15.
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def until(self, port, path):
        """Waits for the first 200; returns the seconds since the start."""
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if ask(port, path)[0] == 200:
                    return time.monotonic() - self.began
            if self.popen.poll() is not None:
                sys.exit(f"bench: {self.popen.args[0]} ended with {self.popen.returncode} before it answered")
            time.sleep(0.001)


class Stage:
    """The programs to measure, and the nginx that answers all of them and counts what it answered."""

    def __init__(self, folder):
        self.folder = folder
        metadata = subprocess.run(
            ["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=ROOT, check=True, capture_output=True
        )
        target = pathlib.Path(json.loads(metadata.stdout)["target_directory"])
        self.programs = target / "dist"
        found = subprocess.run(["which", "prometheus-blackbox-exporter"], check=True, capture_output=True, text=True)
        self.blackbox = pathlib.Path(found.stdout.strip())
        self.nginx_port, self.tls_port = None, None
        self.arrivals = folder / "arrivals.log"

    def program(self, name):
        return self.programs / name

    def start_nginx(self):
        self.nginx_port, self.tls_port = free_port(), free_port()
        key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
        request = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}"
        subprocess.run(["openssl", *request.split()], check=True, capture_output=True)
        config = self.folder / "nginx.conf"
        config.write_text(f"""daemon off; worker_processes 1; pid {self.folder}/nginx.pid; error_log stderr emerg;
            events {{ worker_connections 4096; }}
            http {{ access_log off; default_type text/plain; {temporary(self.folder)} log_format arrivals '$msec $uri';
              ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_session_cache off; ssl_session_tickets off;
              server {{ listen 127.0.0.1:{self.nginx_port} backlog=4096; listen 127.0.0.1:{self.tls_port} ssl backlog=4096;
                location / {{ return 200 "ok\\n"; }} location = /count {{ stub_status; }}
                location /many/ {{ return 200 "ok\\n"; access_log {self.arrivals} arrivals buffer=64k flush=1s; }}
                location /services/ {{ root {self.folder}; access_log {self.arrivals} arrivals; log_not_found off; }}
              }} }}""")
        # Its worker is nobody, and looks for files of services.
        self.folder.chmod(0o755)
        nginx = Process("nginx", "-p", self.folder, "-c", config, "-e", "stderr")
        nginx.until(self.nginx_port, "/")
        return nginx

    def url(self):
        return f"http://127.0.0.1:{self.nginx_port}/"

    def tls_url(self):
        return f"https://127.0.0.1:{self.tls_port}/"

    def probes(self):
        """Returns how many requests nginx has answered so far, this one not counted."""
        lines = ask(self.nginx_port, "/count")[1].splitlines()
        # ngx_http_stub_status_module: the third number of the third line.
        return int(lines[2].split()[2]) - 1

    def cost(self, process, run):
        """Returns CPU seconds of the process for 1000 probes while `run` runs."""
        probes, cpu_secs = self.probes(), process.cpu_secs()
        run()
        cpu_secs = process.cpu_secs() - cpu_secs
        # The look at the first count was a request too.
        probes = self.probes() - probes - 1
        return cpu_secs * 1000 / probes

    def start_monitor(self, services, command="run", more=""):
        """Starts a daemon with a data folder of its own; returns it and its port."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        port = free_port()
        head = f"listen: 127.0.0.1:{port}\ndata_dir: {folder}/data\n"
        (folder / "monitor.yml").write_text(f"{head}services:\n{services}{more}")
        environment = os.environ | {"LOG_LEVEL": "info"}
        return Process(self.program("monitor"), command, "--config", folder / "monitor.yml", env=environment), port

    @contextlib.contextmanager
    def platform(self, folder, **settings):
        """Runs platform-services over a database in the folder; yields its port."""
        port = free_port()
        places = {"PORT": str(port), "DATABASE_URL": f"sqlite:{folder}/platform.db", "LOG_LEVEL": "error"}
        with Process(self.program("platform-services"), "run", env=os.environ | places | settings) as process:
            process.until(port, "/readyz")
            yield port

    def gaps(self, paths, begin, end):
        """Returns the seconds between each two requests in a row of each of the paths; of all below a prefix if it is one."""
        is_wanted = paths.__contains__ if isinstance(paths, set) else lambda uri: uri.startswith(paths)
        starts = collections.defaultdict(list)
        for line in self.arrivals.read_text().splitlines():
            at, uri = line.split()
            if is_wanted(uri) and begin <= float(at) <= end:
                starts[uri].append(float(at))
        return [later - earlier for times in starts.values() for earlier, later in zip(times, times[1:])]

    def until_up(self, monitor, port, count):
        monitor.until(port, "/livez")

        def up():
            services = json.loads(ask(port, "/api/v1/status")[1])["services"]
            return sum(service["verdict"] == "up" for service in services) >= count

        wait_for(f"{count} services to be up", up)


def temporary(folder):
    """Returns what has an nginx keep all its temporary files in the folder."""
    modules = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    return "".join(f"{module}_temp_path {folder}/{module};" for module in modules)


def percentile(values, percent):
    """Returns the smallest value that so many percent do not exceed (nearest rank)."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


def wait_for(what, is_there, limit_secs=120):
    until = time.monotonic() + limit_secs
    while not is_there():
        if time.monotonic() > until:
            sys.exit(f"bench: {what}: not within {limit_secs} s")
        time.sleep(0.2)


def ask(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def memory_mib(pid, key):
    """Reads a line of /proc/PID/status, such as VmRSS, which is in KiB."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:"))


def machine():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {"cores": os.cpu_count(), "model": model, "kernel": os.uname().release.partition("-")[0]}


def figure(name, ours, peer, digits=1, at_least=None, at_most=None):
    """A line of the table. What it should be is said of the ratio, or without a peer of the figure itself."""
    judged = ours if peer is None else ours / peer
    bounds = [f"≥ {at_least}"] * (at_least is not None) + [f"≤ {at_most}"] * (at_most is not None)
    is_met = (at_least is None or judged >= at_least) and (at_most is None or judged <= at_most)
    objective = f"{' and '.join(bounds)}: {'met' if is_met else 'MISSED'}" if bounds else None
    peer, ratio = (None, None) if peer is None else (round(peer, digits), round(judged, 2))
    return {"figure": name, "ours": round(ours, digits), "peer": peer, "ratio": ratio, "objective": objective}


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)
