import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from server import serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def collector():
    """An OTLP endpoint that keeps the spans that come."""
    spans = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            data = self.rfile.read(int(self.headers["content-length"]))
            for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
                spans.extend(span for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", spans
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_request_is_a_span_of_the_trace_that_its_headers_name(nano, collector):
    endpoint, spans = collector
    with serving(nano, "--otlp-traces-endpoint", endpoint, "--num-threads", "1") as server:
        body = {"prompt": "quokka", "max_tokens": 3, "ignore_eos": True}
        headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        httpx.post(f"{server.url}/v1/completions", json=body, headers=headers)
        assert server.stop() == 0  # which sends what is left
    [span] = spans
    told = {entry.key: entry.value for entry in span.attributes}
    assert span.name == "POST /v1/completions" and span.trace_id.hex() == TRACE
    assert told["http.response.status_code"].int_value == 200
    assert told["gen_ai.usage.output_tokens"].int_value == 3
    assert span.end_time_unix_nano > span.start_time_unix_nano
    assert "quokka" not in str(span)
