"""How is this one service doing?"""

from shapes import (
    BLUE,
    GREEN,
    HEALTHS,
    ORANGE,
    PEOPLE,
    RED,
    VERDICTS,
    YELLOW,
    Dashboard,
    ask,
    chart,
    coded,
    filled,
    limits,
    log_lines,
    of_label,
    said,
    stat,
    table,
    timeline,
    to,
    to_monitor,
    to_traces,
    words,
)

HERE = 'job="monitor",service="$service"'
SLOW_TRACES = to_traces("Slow traces", '{resource.service.name="${service}" && duration>200ms}')

VERDICT = stat(
    "Verdict",
    "Does it work?",
    "Anything but up: its page on the monitor says why, with the last lines of the run that ended.",
    ask(coded(f"monitor_service_verdict{{{HERE}}}", "verdict", VERDICTS), "Verdict"),
    mappings=said(VERDICTS),
    none="not watched",
    links=[to_monitor("Its page on the monitor", "/services/${service}")],
)
BUDGET = stat(
    "Error budget left",
    "How much may still fail this month?",
    "Red: no risky changes until it has recovered. Counted from what the monitor's checks saw in 30 days.",
    ask(f"min by (objective) (monitor_slo_error_budget_remaining_ratio{{{HERE}}})", "{{objective}}"),
    "percentunit",
    decimals=1,
    steps=limits(RED, (0, ORANGE), (0.25, GREEN)),
    none="no objective",
    names=True,
    links=[to("slo", "SLO and error budgets")],
)
EXITS = stat(
    "Unplanned ends",
    "Has it crashed lately?",
    "Of its newest 256 runs. More than none: see Restarts and healing.",
    ask(f"max(monitor_workload_unplanned_exits{{{HERE}}})", "Unplanned ends"),
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, ORANGE)),
    none="runs by itself",
    links=[to("restarts", "Restarts and healing")],
)
AGE = stat(
    "Runs for",
    "When did it last start?",
    "A few minutes, and nobody rolled out: it crashed, or somebody restarted it.",
    ask('time() - max(process_start_time_seconds{job="$service"})', "Runs for"),
    "s",
    decimals=0,
    steps=limits(YELLOW, (600, GREEN)),
    none="not scraped",
)
CHECKS = timeline(
    "Checks",
    "Which of its checks fail, and since when?",
    "Click a check for its phases and reasons.",
    ask(coded(f"monitor_check_health{{{HERE}}}", "health", HEALTHS, "check"), "{{check}}"),
    said(HEALTHS),
    links=[
        to(
            "check",
            "Check ${__field.labels.check}",
            watcher="monitor",
            service="${service}",
            check="${__field.labels.check}",
        )
    ],
)
NEWEST = table(
    "Newest answers",
    "What did each check last see, and how fresh is that?",
    "An age far beyond the interval: the monitor could not ask.",
    [
        ask(coded(f"monitor_check_health{{{HERE}}}", "health", HEALTHS, "check"), table=True),
        ask(f"max by (check) (monitor_check_age_seconds{{{HERE}}})", table=True),
        ask(f"sum by (check) (monitor_check_phase_seconds{{{HERE}}})", table=True),
    ],
    [
        (
            "check",
            "Check",
            {"links": [to("check", "All about it", watcher="monitor", service="${service}", check="${__value.raw}")]},
        ),
        ("Value #A", "Health", filled(said(HEALTHS))),
        ("Value #B", "Age", {"unit": "s", "decimals": 0, "noValue": "–"}),
        ("Value #C", "Took", {"unit": "s", "decimals": 1, "noValue": "–"}),
    ],
    sort=("Health", True),
    none="no checks",
)
REQUESTS = chart(
    "Requests by answer",
    "What do people get?",
    "Red is what it failed at: look at its logs below, and at traces with an error.",
    ask(
        f'sum by (class) (label_replace(rate(http_requests_total{{service="$service",{PEOPLE}}}[$__rate_interval]),'
        ' "class", "${1}xx", "status", "(.).*"))',
        "{{class}}",
    ),
    "reqps",
    stacked=True,
    colours={"2xx": GREEN, "3xx": BLUE, "4xx": YELLOW, "5xx": RED},
    links=[to_traces("Traces with an error", '{resource.service.name="${service}" && status=error}')],
    none="nobody asks",
)
WAIT = chart(
    "How long requests take",
    "Is it slow?",
    "Dots are traces: click one to see where its time went.",
    [
        ask(
            f"histogram_quantile({share}, sum by (le)"
            f' (rate(http_request_duration_seconds_bucket{{service="$service",{PEOPLE}}}[$__rate_interval])))',
            legend,
            exemplars=True,
        )
        for share, legend in [(0.5, "half of them"), (0.95, "slowest of twenty"), (0.99, "slowest of a hundred")]
    ],
    "s",
    limit=1,
    links=[SLOW_TRACES],
    none="nobody asks",
)
CPU = chart(
    "Processor",
    "Does it compute more than usual?",
    "1 is one core, busy. Steady at a whole number: something spins.",
    ask('sum by (instance) (rate(process_cpu_seconds_total{job="$service"}[$__rate_interval]))', "{{instance}}"),
    "short",
    decimals=2,
)
MEMORY = chart(
    "Memory",
    "Does it leak?",
    "Grows for days and falls with each start: a leak.",
    ask('max by (instance) (process_resident_memory_bytes{job="$service"})', "{{instance}}"),
    "bytes",
)
FILES = chart(
    "Open files and sockets",
    "Will it run out of them?",
    "Share of what it may have. Beyond the line a ticket is written: clients that stay, or a leak.",
    ask('max by (instance) (process_open_fds{job="$service"} / process_max_fds{job="$service"})', "{{instance}}"),
    "percentunit",
    limit=0.8,
    top=1,
    decimals=1,
)
LOGS = log_lines(
    "Warnings and errors",
    "What does it say itself?",
    "Open a line: its trace_id leads to the trace.",
    '{service="$service", level=~"warn|error"}',
)

DASHBOARD = Dashboard(
    "service",
    "One service",
    "How is this service doing, and why?",
    [
        (4, [(6, VERDICT), (6, BUDGET), (6, EXITS), (6, AGE)]),
        (7, [(14, CHECKS), (10, NEWEST)]),
        (8, [(12, REQUESTS), (12, WAIT)]),
        (7, [(8, CPU), (8, MEMORY), (8, FILES)]),
        (9, [(24, LOGS)]),
    ],
    [of_label("service", "service", 'service_health{job="monitor"}', "api-gateway")],
    ("metrics", "logs", "traces"),
)
