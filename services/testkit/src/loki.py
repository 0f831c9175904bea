"""A Loki made of its published message and rules: takes pushes on one port, is told on another how, and tells what it holds.

The message is grafana/loki, pkg/push/push.proto; the rules are "Loki HTTP API", "Accept out-of-order writes" and the
defaults of `limits_config`.
"""

import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2, unknown_fields

push_port, control_port = int(sys.argv[1]), int(sys.argv[2])

SECOND = 10**9
HOUR = 3600 * SECOND
MAX_LINE_BYTES = 256 * 1024
BEHIND = "entry too far behind"
MAX_METADATA, MAX_METADATA_BYTES = 128, 64 * 1024
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
PAIR = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*("(?:[^"\\\n]|\\.)*")\s*')


def published():
    """Returns the class of PushRequest."""
    file = descriptor_pb2.FileDescriptorProto(name="push.proto", package="logproto", syntax="proto3")
    file.dependency.append(timestamp_pb2.DESCRIPTOR.name)
    kinds = descriptor_pb2.FieldDescriptorProto
    text, number = kinds.TYPE_STRING, kinds.TYPE_UINT64
    for name, fields in {
        "PushRequest": [("streams", 1, "StreamAdapter"), ("format", 2, text)],
        "StreamAdapter": [("labels", 1, text), ("entries", 2, "EntryAdapter"), ("hash", 3, number)],
        "LabelPairAdapter": [("name", 1, text), ("value", 2, text)],
        "EntryAdapter": [
            ("timestamp", 1, ".google.protobuf.Timestamp"), ("line", 2, text),
            ("structuredMetadata", 3, "LabelPairAdapter"), ("parsed", 4, "LabelPairAdapter"),
        ],
    }.items():
        message = file.message_type.add(name=name)
        for field, tag, kind in fields:
            is_one = isinstance(kind, int) or kind.startswith(".")
            added = message.field.add(name=field, number=tag, label=kinds.LABEL_OPTIONAL if is_one else kinds.LABEL_REPEATED)
            if isinstance(kind, int):
                added.type = kind
            else:
                added.type, added.type_name = kinds.TYPE_MESSAGE, kind if kind.startswith(".") else f".logproto.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("logproto.PushRequest"))


PushRequest = published()
lock = threading.Lock()
goes_on = threading.Event()
streams, entries, refusals, requests = {}, [], [], []
duplicates = 0
mode = {"status": 0, "headers": {}}
listener = None


def parts(request):
    """Returns it and all messages in it."""
    yield request
    for stream in request.streams:
        yield stream
        for entry in stream.entries:
            yield entry
            yield entry.timestamp
            yield from entry.structuredMetadata


def labels_of(text):
    """Reads a stream selector; raises ValueError if it is none."""
    if not (text.startswith("{") and text.endswith("}")):
        raise ValueError(f"no selector: {text}")
    found, rest = {}, text[1:-1]
    while rest:
        pair = PAIR.match(rest)
        if not pair or pair[1] in found:
            raise ValueError(f"no labels: {text}")
        found[pair[1]] = json.loads(pair[2])
        rest = rest[pair.end():]
        if rest and not rest.startswith(","):
            raise ValueError(f"no comma: {text}")
        rest = rest[1:]
    if not found:
        raise ValueError("no labels at all")
    return found


def metadata_of(entry):
    """Reads what is said of a line; raises ValueError if Loki would not have it."""
    pairs = [(pair.name, pair.value) for pair in entry.structuredMetadata]
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names) or not all(NAME.fullmatch(name) for name in names):
        raise ValueError(f"names of metadata: {names}")
    if len(pairs) > MAX_METADATA or sum(len(name) + len(value) for name, value in pairs) > MAX_METADATA_BYTES:
        raise ValueError("too much metadata")
    return dict(pairs)


def why_not(at, entry, newest):
    """Returns why Loki would not take a line, if so."""
    now = time.time_ns()
    if not 0 <= entry.timestamp.nanos < SECOND or at <= 0:
        return "no time"
    if at > now + 10 * 60 * SECOND:
        return "timestamp too new"
    if at < now - 7 * 24 * HOUR:
        return "timestamp too old"
    if at < newest - HOUR or mode.get("behind") and mode["behind"] in entry.line:
        return BEHIND
    if mode.get("but") and mode["but"] in entry.line:
        return "not wanted"
    if len(entry.line.encode()) > MAX_LINE_BYTES:
        return "max entry size exceeded"
    if entry.parsed:
        return "parsed is not for clients"
    return None


def take(body, headers):
    """Takes what it may; returns what is wrong with the rest, and what is said of that: of lines too far behind how many, but
    of one stream alone (grafana/loki, pkg/ingester/instance.go, Push, and stream.go, errorForFailedEntries)."""
    global duplicates
    wrong, said = [], ""
    request = PushRequest.FromString(bytes(cramjam.snappy.decompress_raw(body)))
    if any(len(unknown_fields.UnknownFieldSet(part)) for part in parts(request)):
        raise ValueError("fields that the message does not have")
    for stream in request.streams:
        labels = labels_of(stream.labels)
        held = streams.setdefault(json.dumps(labels, sort_keys=True), {"newest": 0, "lines": set()})
        if not stream.entries:
            raise ValueError("a stream without lines")
        behind = []
        for entry in stream.entries:
            metadata = metadata_of(entry)
            at = entry.timestamp.seconds * SECOND + entry.timestamp.nanos
            reason = why_not(at, entry, held["newest"])
            if reason:
                wrong.append(f"{reason}: {entry.line[:80]}")
                if reason == BEHIND:
                    behind.append(f"entry with timestamp {at} ignored, reason: '{reason}',\n")
            elif (at, entry.line) in held["lines"]:
                duplicates += 1
            else:
                held["lines"].add((at, entry.line))
                is_behind = at < held["newest"]
                held["newest"] = max(held["newest"], at)
                entries.append({
                    "labels": labels, "at": at, "line": entry.line, "metadata": metadata, "is_behind": is_behind,
                    "request": len(requests), "headers": headers,
                })
        if behind:
            of = f"{len(behind)} out of {len(stream.entries)}"
            said = f"{''.join(behind[:10])}user 'fake', total ignored: {of} for stream: {stream.labels}"
    return wrong, said or "\n".join(wrong)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Push(Handler):
    def do_POST(self):
        body = self.body()
        if self.path != "/loki/api/v1/push" or self.headers["content-type"] != "application/x-protobuf":
            return self.answer(404)
        if mode["status"] == "hang":
            goes_on.wait()
            self.close_connection = True
            return
        with lock:
            requests.append({"bytes": len(body), "at": time.time(), "status": mode["status"]})
            if mode["status"]:
                return self.answer(mode["status"], b"as it was told\n", mode["headers"])
            if mode.get("most") and len(body) > mode["most"]:
                return self.answer(mode.get("otherwise", 413))
            try:
                wrong, said = take(body, dict(self.headers))
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                wrong = [said]
            refusals.extend(wrong)
        self.answer(400 if wrong else 204, said.encode())


class Server(ThreadingHTTPServer):
    """Of which connections can be cut."""

    connections = set()

    def process_request(self, request, address):
        self.connections.add(request)
        super().process_request(request, address)

    def shutdown_request(self, request):
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_):
        pass


class Control(Handler):
    def do_GET(self):
        with lock:
            told = {"entries": entries, "duplicates": duplicates, "refusals": refusals, "requests": requests}
            self.answer(200, json.dumps(told).encode())

    def do_POST(self):
        global listener
        given = json.loads(self.body())
        with lock:
            mode.clear()
            mode.update({"status": 0, "headers": {}}, **given)
            if mode["status"] == "hang":
                goes_on.clear()
            else:
                goes_on.set()
        if mode["status"] == "gone":
            listener.shutdown()
            listener.server_close_listener()
        elif listener.is_gone:
            listener = listen()
        self.answer(204)


class Listener(Server):
    is_gone = False
    daemon_threads = True

    def server_close_listener(self):
        self.is_gone = True
        self.socket.close()
        for connection in list(self.connections):
            try:
                connection.shutdown(2)
            except OSError:
                pass


def listen():
    server = Listener(("127.0.0.1", push_port), Push)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


goes_on.set()
listener = listen()
ThreadingHTTPServer(("127.0.0.1", control_port), Control).serve_forever()
