"""An OpenTelemetry collector made of OpenTelemetry's own messages: takes traces by HTTP and gRPC, and tells them as JSON."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service
from opentelemetry.proto.trace.v1 import trace_pb2 as trace

http_port, grpc_port = int(sys.argv[1]), int(sys.argv[2])
spans = []


def plain(value):
    return getattr(value, value.WhichOneof("value"))


def attributes(pairs):
    names = [pair.key for pair in pairs]
    assert len(set(names)) == len(names), f"a name twice: {names}"
    return {pair.key: plain(pair.value) for pair in pairs}


def remote(flags):
    """Tells whether a parent, or what a link leads to, is another process's; None if that is not known."""
    known, is_so = (trace.SpanFlags.Value(f"SPAN_FLAGS_CONTEXT_{name}_MASK") for name in ["HAS_IS_REMOTE", "IS_REMOTE"])
    return bool(flags & is_so) if flags & known else None


def take(request, protocol, headers):
    for resource_spans in request.resource_spans:
        resource = attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                assert len(span.trace_id) == 16 and len(span.span_id) == 8, span
                assert span.start_time_unix_nano <= span.end_time_unix_nano, span
                spans.append({
                    "service": resource["service.name"], "resource": resource, "scope": scope_spans.scope.name,
                    "name": span.name, "kind": span.kind, "trace": span.trace_id.hex(), "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(), "state": span.trace_state, "sampled": span.flags & 1 == 1,
                    "began": span.start_time_unix_nano, "ended": span.end_time_unix_nano,
                    "attributes": attributes(span.attributes), "status": span.status.code,
                    "remote": remote(span.flags),
                    "links": [
                        {"trace": link.trace_id.hex(), "span": link.span_id.hex(), "remote": remote(link.flags)}
                        for link in span.links
                    ],
                    "message": span.status.message, "protocol": protocol, "headers": headers,
                })


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, kind, body):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        assert self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
        body = self.rfile.read(int(self.headers["content-length"]))
        take(messages.ExportTraceServiceRequest.FromString(body), "http", dict(self.headers))
        self.answer("application/x-protobuf", messages.ExportTraceServiceResponse().SerializeToString())

    def do_GET(self):
        self.answer("application/json", json.dumps(spans).encode())

    def log_message(self, *_):
        pass


class Grpc(service.TraceServiceServicer):
    def Export(self, request, context):
        take(request, "grpc", dict(context.invocation_metadata()))
        return messages.ExportTraceServiceResponse()


server = grpc.server(ThreadPoolExecutor(4))
service.add_TraceServiceServicer_to_server(Grpc(), server)
server.add_insecure_port(f"127.0.0.1:{grpc_port}")
server.start()
ThreadingHTTPServer(("127.0.0.1", http_port), Http).serve_forever()
