"""Is everything all right, and what is not?"""

from shapes import (
    GREEN,
    ORANGE,
    OVERALL,
    PURPLE,
    RED,
    VERDICTS,
    YELLOW,
    Dashboard,
    ask,
    chart,
    coded,
    filled,
    limits,
    look,
    said,
    stat,
    table,
    timeline,
    to,
    to_monitor,
    words,
)

EVERYTHING = stat(
    "Everything",
    "Is everything all right?",
    "Red: look at the services below, the worst stands first. Its row leads on.",
    ask(coded('monitor_overall{job="monitor"}', "state", OVERALL), "Everything"),
    mappings=said(OVERALL),
    none="The monitor does not answer",
    steps=limits(RED),
    links=[to_monitor("Status page", "/")],
)
BROKEN = stat(
    "Services that do not work",
    "How many services are broken?",
    "Anything but none: the table says which.",
    ask('sum(services_total_count{job="monitor"}) - sum(services_healthy_count{job="monitor"})', "Broken"),
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, RED)),
    none="not known",
)
INCIDENTS = stat(
    "Open incidents",
    "Has somebody been woken, and what waits for working hours?",
    "The page of incidents shows evidence, and lets you acknowledge.",
    [
        ask('sum(monitor_incidents_open{job="monitor",severity="page"})', "pages"),
        ask('sum(monitor_incidents_open{job="monitor",severity="ticket"})', "tickets"),
    ],
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, ORANGE)),
    none="not known",
    links=[to_monitor("Incidents", "/incidents?open=true")],
)
INCIDENTS.overrides = [look("pages", {"thresholds": limits(GREEN, (1, RED))})]
SIGN_IN = stat(
    "Signing in",
    "Can users sign in?",
    "Fails: see the dashboard Sign-in for the step that does.",
    ask("min(auth_success_status)", "Signing in"),
    mappings=words((1, "works", GREEN), (0, "FAILS", RED)),
    steps=limits(RED, (1, GREEN)),
    none="nobody tries",
    links=[to("auth", "Sign-in")],
)
LOOKING = stat(
    "Newest look",
    "Does the monitor still look?",
    "Older than a few minutes: what stands here is not true any more. See The monitors themselves.",
    ask('clamp_min(time() - max(monitoring_last_update{job="monitor"}), 0)', "Newest look"),
    "s",
    decimals=0,
    steps=limits(GREEN, (60, YELLOW), (600, RED)),
    none="never",
    links=[to("themselves", "The monitors themselves")],
)
SERVICES = table(
    "Services",
    "Which service is not all right, and how is it doing otherwise?",
    "Click a name for all about that service. Budget below 0: more failed in 30 days than the objective allows.",
    [
        ask(coded('monitor_service_verdict{job="monitor"}', "verdict", VERDICTS, "service"), table=True),
        ask('max by (service) (monitor_workload_unplanned_exits{job="monitor"})', table=True),
        ask('clamp_min(min by (service) (monitor_slo_error_budget_remaining_ratio{job="monitor"}), -1)', table=True),
        ask(
            "histogram_quantile(0.95, sum by (service, le)"
            ' (rate(monitor_probe_duration_seconds_bucket{job="monitor"}[$__rate_interval]))) >= 0',
            table=True,
        ),
    ],
    [
        ("service", "Service", {"links": [to("service", "All about it", service="${__value.raw}")]}),
        ("Value #A", "Verdict", filled(said(VERDICTS))),
        ("Value #B", "Unplanned ends", {"decimals": 0, "noValue": "–"}),
        ("Value #C", "Budget left", {"unit": "percentunit", "decimals": 1, "noValue": "no objective"}),
        ("Value #D", "Probes, p95", {"unit": "s", "decimals": 1, "noValue": "–"}),
    ],
    sort=("Verdict", True),
    none="no services",
)
ALERTS = table(
    "Alerts of Prometheus",
    "Which rules fire?",
    "Each has its heading in alerts/README.md: what it means and what to do first.",
    ask(
        'max by (alertname, severity, service) (ALERTS{alertstate="firing",severity=~"page|ticket"}'
        # Watchdog always fires, where there are rules.
        ' or label_replace(label_replace(absent(ALERTS{alertname="Watchdog",alertstate="firing"}),'
        ' "alertname", "not known: no rules are evaluated", "", ""), "severity", "unknown", "", ""))',
        table=True,
    ),
    [
        ("alertname", "Alert", {}),
        ("service", "Service", {"noValue": "–"}),
        (
            "severity",
            "Severity",
            filled(
                said(
                    [("page", 0, "page", RED), ("ticket", 1, "ticket", ORANGE), ("unknown", 2, "unknown", PURPLE)],
                    by_word=True,
                )
            ),
        ),
    ],
    sort=("Severity", False),
    none="no alert fires",
)
HISTORY = timeline(
    "Verdicts",
    "Since when is it so, and did others break at the same time?",
    "What broke first is on the left. Marks are starts and new configurations.",
    ask(coded('monitor_service_verdict{job="monitor"}', "verdict", VERDICTS, "service"), "{{service}}"),
    said(VERDICTS),
    links=[to("service", "All about ${__field.labels.service}", service="${__field.labels.service}")],
)
RATE = chart(
    "Requests",
    "How much do people ask?",
    "Suddenly nothing: DNS, certificate or front door. Probes of the monitors are not in it.",
    ask("service:http_requests:rate5m", "{{service}}"),
    "reqps",
    links=[to("service", "All about ${__field.labels.service}", service="${__field.labels.service}")],
)
ERRORS = chart(
    "Failing requests",
    "What share of requests is answered 5xx?",
    "Beyond the line (a tenth) a ticket is written; the gateway pages at half of that.",
    ask("sum by (service) (service:http_requests_5xx:ratio_rate5m or 0 * service:http_requests:rate5m)", "{{service}}"),
    "percentunit",
    limit=0.1,
    decimals=1,
    links=[to("service", "All about ${__field.labels.service}", service="${__field.labels.service}")],
)
SLOW = chart(
    "Slowest of twenty requests",
    "How long do people wait?",
    "Beyond the line (a second) a ticket is written. One request in twenty takes this long or longer.",
    ask("service:http_request_duration_seconds:p95_5m", "{{service}}"),
    "s",
    limit=1,
    links=[to("service", "All about ${__field.labels.service}", service="${__field.labels.service}")],
)

DASHBOARD = Dashboard(
    "overview",
    "Overview",
    "Is everything all right, and what is not?",
    [
        (4, [(6, EVERYTHING), (4, BROKEN), (5, INCIDENTS), (5, SIGN_IN), (4, LOOKING)]),
        (9, [(15, SERVICES), (9, ALERTS)]),
        (8, [(24, HISTORY)]),
        (8, [(8, RATE), (8, ERRORS), (8, SLOW)]),
    ],
)
