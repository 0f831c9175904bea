"""What becomes of requests while the collector and Loki do not take what is exported to them."""

import contextlib
import functools
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
# Before which rounds a sink goes, and comes back.
GOES, COMES = ROUNDS // 4, ROUNDS - ROUNDS // 4


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers everything alike, as a collector and as Loki."""

    protocol_version = "HTTP/1.1"

    def __init__(self, status, headers, *rest):
        self.status, self.more = status, headers
        super().__init__(*rest)

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked += 1
        self.send_response(self.status)
        for name, value in ({"content-length": "0"} | self.more).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Of which connections can be cut."""

    def __init__(self, port, status=200, headers={}):
        super().__init__(("127.0.0.1", port), functools.partial(Answering, status, headers))
        self.asked, self.connections = 0, set()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def process_request(self, request, address):
        self.connections.add(request)
        super().process_request(request, address)

    def shutdown_request(self, request):
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_):
        pass

    def close(self):
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Leaving:
    """Takes everything, but for a while nobody is there."""

    def __init__(self):
        self.server = Server(0)
        self.port = self.server.server_port

    def before(self, number):
        if number == GOES:
            self.close()
        if number == COMES:
            self.server = Server(self.port)

    def close(self):
        if self.server:
            self.server.close()
            self.server = None


@contextlib.contextmanager
def taking():
    with contextlib.closing(Server(0)) as server:
        yield server.server_port


@contextlib.contextmanager
def busy():
    """Takes nothing, and asks to be left alone for a while."""
    with contextlib.closing(Server(0, 429, {"retry-after": "1"})) as server:
        yield server.server_port
        if not server.asked:
            raise SystemExit("bench: nobody asked the busy one")


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
    with taking() as well, hanging() as hung, busy() as full, contextlib.closing(Leaving()) as leaving:
        with contextlib.ExitStack() as stack:
            sinks = [well, hung, free_port(), full, leaving.port]
            gateways = [stack.enter_context(gateway(stage, sink)) for sink in sinks]
            say(f"gateway with exports that are taken, hang, are refused, put off, and for a while refused; {ROUNDS} rounds")
            rounds = []
            for number in range(ROUNDS):
                leaving.before(number)
                rounds.append([asked(port) for _, port in gateways])
            memory = [memory_mib(process.pid, "VmRSS") for process, _ in gateways]
            if not leaving.server.asked:
                raise SystemExit("bench: nobody asked the one that came back")
    [good, stalled, refused, put_off, left] = [statistics.median(side) for side in zip(*rounds)]
    return [
        figure("request, exports hang (peer: are taken): median ms", stalled, good, digits=3, at_most=1.05),
        figure("request, exports refused (peer: are taken): median ms", refused, good, digits=3, at_most=1.05),
        figure("request, exports put off, 429 (peer: are taken): median ms", put_off, good, digits=3, at_most=1.05),
        figure("request, sink goes and comes back (peer: stays): median ms", left, good, digits=3, at_most=1.05),
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
