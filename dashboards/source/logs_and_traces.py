"""What did the services say and do, and what belongs together?"""

from shapes import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    Dashboard,
    Panel,
    ask,
    ask_logs,
    ask_traces,
    chart,
    counted,
    limits,
    log_lines,
    of_choice,
    of_label,
    of_text,
    one,
    stat,
    table,
    to,
    words,
)

LOST = stat(
    "Spans lost",
    "Is what stands here complete?",
    "In the time shown. Lost ones are missing below: is Tempo up, or does it refuse?",
    ask(counted("sum(increase(telemetry_spans_dropped_total[$__range]))", "telemetry_spans_waiting"), "Lost"),
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (0.5, ORANGE)),
    none="no traces are sent",
)
SENT = stat(
    "Spans sent",
    "Do services send traces at all?",
    "Nothing: OTEL_EXPORTER_OTLP_ENDPOINT is not set.",
    ask("sum(rate(telemetry_spans_sent_total[$__rate_interval]))", "Sent"),
    "cps",
    decimals=1,
    area=True,
    steps=limits(BLUE),
    none="no traces are sent",
)
LINES_LOST = stat(
    "Lines lost",
    "Is what the services said complete?",
    "In the time shown; a ticket names who and why. Is Loki up, or does it refuse?",
    [
        ask(
            counted("sum(increase(telemetry_log_entries_dropped_total[$__range]))", "telemetry_log_bytes_waiting"),
            "not in Loki",
        ),
        ask(
            counted("sum(increase(telemetry_log_unwritten_total[$__range]))", "telemetry_log_unwritten_total"),
            "not on standard output",
        ),
    ],
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (0.5, ORANGE)),
    none="no lines are sent",
)
WAITING = stat(
    "Lines that wait",
    "Is the newest here already?",
    "Grows while Loki does not take them; beyond half of 16 MiB of a service they go to LOKI_SPILL_DIR.",
    [
        ask("sum(telemetry_log_bytes_waiting)", "in memory"),
        ask("sum(telemetry_log_spill_bytes)", "on disk"),
    ],
    "bytes",
    decimals=0,
    steps=limits(GREEN, (1 << 20, YELLOW)),
    none="no lines are sent",
)
ERRORS = stat(
    "Lines at level error",
    "Does the service complain?",
    "In the time shown. At error a person should act.",
    ask_logs('sum(count_over_time({service="$service", level="error"}[$__range]))', "Errors"),
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, RED)),
    none="none",
)
VOLUME = chart(
    "Lines by level",
    "Does the service say more than usual?",
    "Narrow the time to where it changes, then read below.",
    ask_logs('sum by (level) (count_over_time({service="$service", level=~"$level"}[$__auto]))', "{{level}}"),
    "short",
    decimals=0,
    columns=True,
    colours={"error": RED, "warn": ORANGE, "info": BLUE, "debug": GREY, "trace": GREY},
    none="no lines",
)
LINES = log_lines(
    "Lines",
    "What does the service say?",
    "Open a line: its trace_id leads to the trace.",
    '{service="$service", level=~"$level"} |= `$text`',
)


def traces(title, asks, act, query):
    look = {"links": [to("logs-and-traces", "This trace with its lines", service="${service}", trace="${__value.raw}")]}
    columns = [
        ("traceID", "Trace", look),
        ("startTime", "Began", {"unit": "dateTimeAsLocal"}),
        ("traceService", "Service", {}),
        ("traceName", "What", {}),
        ("traceDuration", "Took", {"unit": "ms"}),
    ]
    return table(title, asks, act, ask_traces(query), columns, none="no traces")


FAILED = traces(
    "Traces that failed",
    "What went wrong, and where?",
    "Click a trace: it is shown below, with the lines of every service that took part.",
    '{resource.service.name="$service" && status=error}',
)
SLOW = traces(
    "Traces that took long",
    "What is slow?",
    "Longer than chosen above. Click one to see which span took the time.",
    '{resource.service.name="$service" && duration>$slower}',
)
TRACE = Panel(
    "The trace",
    "What happened, step by step?",
    "Choose a trace above. Each span has a link to its lines.",
    "traces",
    one(ask_traces("$trace")),
    {"noValue": "choose a trace"},
    {},
)
ITS_LINES = log_lines(
    "All lines of the trace",
    "What did everybody say about it?",
    "Choose a trace above: lines of every service, newest first.",
    '{service=~".+"} | trace_id="$trace" | trace_id!=""',
)

DASHBOARD = Dashboard(
    "logs-and-traces",
    "Logs and traces",
    "What did the services say and do, and what belongs together?",
    [
        (4, [(5, ERRORS), (5, LINES_LOST), (5, WAITING), (5, SENT), (4, LOST)]),
        (6, [(24, VOLUME)]),
        (9, [(24, LINES)]),
        (8, [(12, FAILED), (12, SLOW)]),
        (11, [(13, TRACE), (11, ITS_LINES)]),
    ],
    [
        of_label("service", "job", "up", "api-gateway"),
        of_choice(
            "level",
            "Level",
            [("all", ".+"), ("warnings and errors", "warn|error"), ("errors", "error")],
            ".+",
        ),
        of_text("text", "Text"),
        of_choice("slower", "Slower than", [(text, text) for text in ["100ms", "500ms", "1s", "5s"]], "500ms"),
        of_text("trace", "Trace"),
    ],
    ("metrics", "logs", "traces"),
    refresh="1m",
    since="now-1h",
)
