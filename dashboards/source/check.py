"""What does this one check see?"""

from shapes import (
    BLUE,
    GREEN,
    HEALTHS,
    ORANGE,
    PURPLE,
    RED,
    YELLOW,
    Dashboard,
    ask,
    chart,
    coded,
    limits,
    log_lines,
    of_label,
    said,
    stat,
    timeline,
    to_monitor,
    to_traces,
    words,
)

SERVICE = 'job="$watcher",service="$service"'
HERE = f'{SERVICE},check="$check"'
PROBES = to_traces("Traces of its probes", '{name="probe ${service}/${check}"}')

HEALTH = stat(
    "Health",
    "What does it say?",
    "Down after several fails in a row; unknown when the monitor could not ask.",
    ask(coded(f"monitor_check_health{{{HERE}}}", "health", HEALTHS), "Health"),
    mappings=said(HEALTHS),
    none="no such check",
    links=[to_monitor("The service on the monitor", "/services/${service}")],
)
AGE = stat(
    "Newest answer",
    "How fresh is that?",
    "Each check has its own interval: far beyond that, its health is stale.",
    ask(f"max(monitor_check_age_seconds{{{HERE}}})", "Newest answer"),
    "s",
    decimals=0,
    steps=limits(BLUE),
    none="never",
)
SHARE = stat(
    "Passed in this time",
    "How often did it pass?",
    "Of what could be asked, over the time shown. Degraded passes count.",
    ask(
        f'sum(increase(monitor_probe_results_total{{{HERE},outcome=~"pass|degraded"}}[$__range]))'
        f' / sum(increase(monitor_probe_results_total{{{HERE},outcome!="unknown"}}[$__range]))',
        "Passed",
    ),
    "percentunit",
    decimals=2,
    steps=limits(RED, (0.99, YELLOW), (0.999, GREEN)),
    none="not asked",
)
FLAPPING = stat(
    "Steady",
    "Does it change again and again?",
    "Flapping: alerts wait until it settles. Limits too tight, or one replica of several that fails.",
    ask(f"max(monitor_check_flapping{{{HERE}}})", "Steady"),
    mappings=words((0, "steady", GREEN), (1, "FLAPPING", ORANGE)),
    none="no such check",
)
CERTIFICATE = stat(
    "Certificate expires in",
    "When must a certificate be renewed?",
    "The earliest of its chain. Renew it before, and have it loaded.",
    ask(f"min(monitor_check_certificate_expiry_timestamp_seconds{{{HERE}}}) - time()", "Expires in"),
    "s",
    decimals=0,
    steps=limits(RED, (7 * 86400, YELLOW), (21 * 86400, GREEN)),
    none="shows none",
)
HISTORY = timeline(
    "Health over time",
    "Since when, and how often before?",
    "Short reds at regular times are often a job that runs then.",
    ask(coded(f"monitor_check_health{{{HERE}}}", "health", HEALTHS, "check"), "{{check}}"),
    said(HEALTHS),
)
PHASES = chart(
    "Phases of the newest probe",
    "Where does the time go?",
    "dns: resolver. connect: network, or a full backlog. tls: handshake. first_byte: the service thinks. transfer: size.",
    ask(f"max by (phase) (monitor_check_phase_seconds{{{HERE}}})", "{{phase}}"),
    "s",
    stacked=True,
    links=[PROBES],
    none="nothing measured",
)
DURATION = chart(
    "How long it takes",
    "Is it slower than usual?",
    "Whole probes that passed. Dots are traces.",
    [
        ask(
            f"histogram_quantile({share}, sum by (le) (rate(monitor_probe_duration_seconds_bucket{{{HERE}}}[$__rate_interval])))",
            legend,
            exemplars=True,
        )
        for share, legend in [(0.5, "half of them"), (0.95, "slowest of twenty")]
    ],
    "s",
    links=[PROBES],
    none="none passed",
)
RESULTS = chart(
    "Answers",
    "How do its probes end?",
    "Purple is not the target's fault: the monitor could not ask.",
    ask(f"sum by (outcome) (increase(monitor_probe_results_total{{{HERE}}}[$__rate_interval]))", "{{outcome}}"),
    "short",
    decimals=0,
    columns=True,
    colours={"pass": GREEN, "degraded": YELLOW, "fail": RED, "unknown": PURPLE},
    none="not asked",
)
REASONS = chart(
    "Why the service's checks do not pass",
    "What was wrong?",
    "Of all checks of this service: refused, timeout, status, body, … The monitor's page has the words.",
    ask(f"sum by (reason) (increase(monitor_probe_reasons_total{{{SERVICE}}}[$__rate_interval]))", "{{reason}}"),
    "short",
    decimals=0,
    columns=True,
    none="all pass",
)
STEPS = chart(
    "Steps of the newest journey",
    "Which step is slow, and how far did it get?",
    "A step that is missing was not reached. Only journeys have steps.",
    ask(f"max by (step) (monitor_check_step_seconds{{{HERE}}})", "{{step}}"),
    "s",
    stacked=True,
    none="no journey",
)
LOGS = log_lines(
    "What the watcher says of this service",
    "What did the monitor write down?",
    "Open a line for its fields: check.id, the reason, the trace.",
    '{service="$watcher"} |= "$service"',
)

DASHBOARD = Dashboard(
    "check",
    "One check",
    "What does this check see, where does its time go, and how was it before?",
    [
        (4, [(5, HEALTH), (5, AGE), (5, SHARE), (4, FLAPPING), (5, CERTIFICATE)]),
        (4, [(24, HISTORY)]),
        (8, [(12, PHASES), (12, DURATION)]),
        (8, [(8, RESULTS), (8, REASONS), (8, STEPS)]),
        (8, [(24, LOGS)]),
    ],
    [
        of_label("watcher", "job", "monitor_check_health", "monitor"),
        of_label("service", "service", 'monitor_check_health{job="$watcher"}', "api-gateway"),
        of_label("check", "check", 'monitor_check_health{job="$watcher",service="$service"}', "ready"),
    ],
    ("metrics", "logs", "traces"),
)
