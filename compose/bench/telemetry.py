"""What becomes of requests while the collector and Loki do not take what is exported to them."""

import contextlib
import http.client
import http.server
import os
import socket
import statistics
import threading
import time

from gateway import KEY, SECRET
from stage import Process, figure, free_port, memory_mib, percentile, say

# In turns, so that a busy moment of the machine hits all alike.
ROUNDS, ASKED, PER_SEC = 8, 600, 200


class Taking(http.server.BaseHTTPRequestHandler):
    """Takes everything, as a collector and as Loki."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def taking():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


@contextlib.contextmanager
def hanging():
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def gateway(stage, sink):
    port = free_port()
    at = f"http://127.0.0.1:{sink}"
    # At this level each request is a line.
    environment = os.environ | {"JWT_SECRET": SECRET, "API_KEY": KEY, "PORT": str(port), "LOG_LEVEL": "debug"}
    environment |= {"RATE_LIMIT_RPM": "off", "OTEL_EXPORTER_OTLP_ENDPOINT": at, "LOKI_URL": at, "LOKI_QUEUE_BYTES": "2MiB"}
    environment |= {"AIRTABLE_GATEWAY_URL": stage.url().rstrip("/")}
    with Process(stage.program("api-gateway"), "run", env=environment) as process:
        process.until(port, "/livez")
        yield process, port


def away(stage):
    with taking() as well, hanging() as hung:
        nobody = free_port()
        with gateway(stage, well) as first, gateway(stage, hung) as second, gateway(stage, nobody) as third:
            say(f"gateway with exports that are taken, that hang, that are refused; {ROUNDS} rounds")
            rounds = [[asked(port) for _, port in (first, second, third)] for _ in range(ROUNDS)]
            memory = [memory_mib(process.pid, "VmRSS") for process, _ in (first, second, third)]
    [good, stalled, refused] = [statistics.median(side) for side in zip(*rounds)]
    return [
        figure("request, exports hang (peer: are taken): median ms", stalled, good, digits=3, at_most=1.05),
        figure("request, exports refused (peer: are taken): median ms", refused, good, digits=3, at_most=1.05),
        figure("RSS with exports that hang (peer: are taken), MiB", memory[1], memory[0]),
    ]


def asked(port):
    """Returns the median milliseconds of requests that are handed on, at a steady pace, on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    taken, began = [], time.perf_counter()
    for number in range(ASKED):
        time.sleep(max(0, began + number / PER_SEC - time.perf_counter()))
        start = time.perf_counter()
        connection.request("GET", "/api/airtable/bases", headers={"x-api-key": KEY})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"bench: a request was answered {answer.status}")
        taken.append((time.perf_counter() - start) * 1000)
    connection.close()
    return percentile(taken, 50)
