"""What do people meet at the front door?"""

from shapes import (
    BLUE,
    GREEN,
    PEOPLE,
    RED,
    YELLOW,
    Dashboard,
    ask,
    chart,
    filled,
    limits,
    stat,
    table,
    to,
    to_traces,
    words,
)

OF = 'service="api-gateway"'
ERRORS_TRACES = to_traces("Traces with an error", '{resource.service.name="api-gateway" && status=error}')
SLOW_TRACES = to_traces("Slow traces", '{resource.service.name="api-gateway" && duration>500ms}')

DOOR = stat(
    "Front door",
    "Is it open?",
    "DOWN: nobody gets in. Its page on the monitor says why.",
    ask('max(service_health{job="monitor",service="api-gateway"})', "Front door"),
    mappings=words((0, "DOWN", RED), (1, "open", GREEN)),
    steps=limits(RED, (1, GREEN)),
    none="not watched",
    links=[to("service", "All about it", service="api-gateway")],
)
FAILING = stat(
    "Failing now",
    "What share of requests is answered 5xx?",
    "Beyond 5 % somebody is paged.",
    ask(f"sum(service:http_requests_5xx:ratio_rate5m{{{OF}}} or 0 * service:http_requests:rate5m{{{OF}}})", "Failing"),
    "percentunit",
    decimals=2,
    steps=limits(GREEN, (0.01, YELLOW), (0.05, RED)),
    none="nobody asks",
    links=[ERRORS_TRACES],
)
WAITING = stat(
    "Slowest of twenty",
    "How long do people wait?",
    "Beyond two seconds a ticket is written.",
    ask(f"max(service:http_request_duration_seconds:p95_5m{{{OF}}})", "Wait"),
    "s",
    decimals=1,
    steps=limits(GREEN, (0.5, YELLOW), (2, RED)),
    none="nobody asks",
    links=[SLOW_TRACES],
)
NOW = stat(
    "In hand",
    "How many requests are being answered at this moment?",
    "Rises and stays: what is behind it hangs.",
    ask(f"sum(active_connections{{{OF}}})", "In hand"),
    decimals=0,
    area=True,
    steps=limits(BLUE),
    none="not scraped",
)
SPARED = stat(
    "Not asked any more",
    "Which services has the gateway given up on for now?",
    "It tries one request every five seconds by itself.",
    ask("sum(max by (upstream) (api_gateway_upstream_breaker_open))", "Spared"),
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, RED)),
    none="not scraped",
)
RATE = chart(
    "Requests by answer",
    "How much is asked, and with what success?",
    "4xx is what clients did wrong, 5xx what we did.",
    ask(
        f"sum by (class) (label_replace(rate(http_requests_total{{{OF},{PEOPLE}}}[$__rate_interval]),"
        ' "class", "${1}xx", "status", "(.).*"))',
        "{{class}}",
    ),
    "reqps",
    stacked=True,
    colours={"2xx": GREEN, "3xx": BLUE, "4xx": YELLOW, "5xx": RED},
    links=[ERRORS_TRACES],
    none="nobody asks",
)
WAIT = chart(
    "How long requests take",
    "Is it slow, for all or for some?",
    "Dots are traces: click one to see where its time went.",
    [
        ask(
            f"histogram_quantile({share}, sum by (le) (rate(http_request_duration_seconds_bucket{{{OF},{PEOPLE}}}[$__rate_interval])))",
            legend,
            exemplars=True,
        )
        for share, legend in [(0.5, "half of them"), (0.95, "slowest of twenty"), (0.99, "slowest of a hundred")]
    ],
    "s",
    limit=2,
    links=[SLOW_TRACES],
    none="nobody asks",
)
ENDPOINTS = table(
    "Paths",
    "Which path is busy, slow or broken?",
    "Over the time shown; the worst stands first.",
    [
        ask(f"sum by (method, endpoint) (rate(http_requests_total{{{OF},{PEOPLE}}}[$__range]))", table=True),
        ask(
            f'sum by (method, endpoint) (rate(http_requests_total{{{OF},{PEOPLE},status=~"5.."}}[$__range]))'
            f" / sum by (method, endpoint) (rate(http_requests_total{{{OF},{PEOPLE}}}[$__range]))",
            table=True,
        ),
        ask(
            "histogram_quantile(0.95, sum by (method, endpoint, le)"
            f" (rate(http_request_duration_seconds_bucket{{{OF},{PEOPLE}}}[$__range]))) >= 0",
            table=True,
        ),
    ],
    [
        ("method", "Method", {"custom.width": 90}),
        ("endpoint", "Path", {}),
        ("Value #A", "Asked", {"unit": "reqps", "decimals": 2}),
        (
            "Value #B",
            "Failing",
            filled(steps=limits(GREEN, (0.01, YELLOW), (0.05, RED)), unit="percentunit", decimals=1, noValue="–"),
        ),
        ("Value #C", "Slowest of twenty", {"unit": "s", "decimals": 1, "noValue": "–"}),
    ],
    sort=("Failing", True),
    none="nobody asks",
)
UPSTREAMS = chart(
    "What is handed on",
    "Who behind it does not answer?",
    "late: it hangs. unreachable: it is down, or its URL is wrong. spared: it did not answer before.",
    ask(
        "sum by (upstream, result) (rate(api_gateway_upstream_requests_total[$__rate_interval])) > 0",
        "{{upstream}}: {{result}}",
    ),
    "reqps",
    decimals=2,
    none="nothing handed on",
)
REFUSED = chart(
    "Turned away",
    "Who is refused at the door?",
    "No key or token: a client that lost its own, or somebody who tries. Beyond a limit: see RATE_LIMIT_RPM.",
    [
        ask("sum by (wanted) (rate(api_gateway_refused_total[$__rate_interval]))", "without a {{wanted}}"),
        ask(
            "sum by (type) (rate(api_gateway_rate_limited_total[$__rate_interval]))", "beyond the limit of its {{type}}"
        ),
    ],
    "reqps",
    decimals=2,
    none="nobody is",
)
FRAMES = chart(
    "WebSocket frames",
    "Do clients of the assistant miss anything?",
    "slow: one client; session_full: nobody reads; all_full: memory for all is used up.",
    [
        ask("sum(rate(api_gateway_ws_sent_total[$__rate_interval]))", "sent"),
        ask("sum by (reason) (rate(api_gateway_ws_dropped_total[$__rate_interval]))", "lost: {{reason}}"),
    ],
    "cps",
    decimals=2,
    colours={"sent": GREEN},
    none="no WebSockets",
)
SIZES = chart(
    "Size of bodies",
    "Does somebody send or fetch unusually much?",
    "One in twenty is this large or larger. Large ones are slow: see the paths.",
    [
        ask(
            "histogram_quantile(0.95, sum by (le)"
            f" (rate(http_{way}_size_bytes_bucket{{{OF},{PEOPLE}}}[$__rate_interval])))",
            legend,
        )
        for way, legend in [("request", "asked with"), ("response", "answered")]
    ],
    "bytes",
    none="nobody asks",
)

DASHBOARD = Dashboard(
    "gateway",
    "Gateway",
    "What do people meet at the front door: rate, errors, duration, and who behind it is to blame?",
    [
        (4, [(5, DOOR), (5, FAILING), (5, WAITING), (4, NOW), (5, SPARED)]),
        (9, [(12, RATE), (12, WAIT)]),
        (9, [(14, ENDPOINTS), (10, UPSTREAMS)]),
        (8, [(8, REFUSED), (8, FRAMES), (8, SIZES)]),
    ],
    [],
    ("metrics", "traces"),
)
