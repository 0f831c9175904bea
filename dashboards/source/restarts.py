"""What crashes, and is it healed?"""

from shapes import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    Dashboard,
    ask,
    bars,
    chart,
    limits,
    log_lines,
    stat,
    table,
    to,
    to_monitor,
    words,
)

ALL = 'job="monitor"'

LOOPING = stat(
    "Crash loops",
    "Does something start again and again?",
    "A loop is not cured by restarts: read the last lines of its last run on its page.",
    ask(f'sum(monitor_service_verdict{{{ALL},verdict=~"crash_looping|gave_up"}})', "Crash loops"),
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, RED)),
    none="not known",
)
RECURRING = stat(
    "Slow crashes",
    "Does something die of the same cause, now and then?",
    "No loop, so nobody was woken: mend it in working hours.",
    ask(f"sum(monitor_workload_recurring_crash{{{ALL}}})", "Slow crashes"),
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, ORANGE)),
    none="nothing is run",
)
ANONYMOUS = stat(
    "Restarts by nobody",
    "Does somebody restart things without saying so?",
    "In the last hour. Find who: a cron job, another supervisor, a colleague. Announce it instead.",
    ask(f"sum(monitor_workload_anonymous_restarts{{{ALL}}})", "By nobody"),
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, ORANGE)),
    none="nothing is run",
)
HEALED = stat(
    "Healing",
    "Do restarts help?",
    "In the time shown. Failed or relapsed: a person is needed.",
    [
        ask(f'sum(increase(monitor_heals_total{{{ALL},result="worked"}}[$__range]))', "worked"),
        ask(f'sum(increase(monitor_heals_total{{{ALL},result!="worked"}}[$__range]))', "did not"),
    ],
    decimals=0,
    steps=limits(BLUE),
    none="not known",
)
FINDINGS = stat(
    "Findings",
    "What is to be mended before it breaks?",
    "Nobody was woken for these. The page of findings says what to write instead.",
    ask(f'sum(monitor_findings{{{ALL},severity="error"}})', "Findings"),
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, YELLOW)),
    none="not examined",
    links=[to_monitor("Findings", "/findings")],
)
LEVEL = chart(
    "How near to a crash loop",
    "What has crashed, and does it calm down?",
    "Each crash adds one, and one leaks away in time. At 3 it is a crash loop, at 8 it is given up.",
    ask(f"max by (service) (monitor_workload_restart_level{{{ALL}}})", "{{service}}"),
    "short",
    decimals=1,
    limit=3,
    none="nothing is run",
    links=[to("service", "All about ${__field.labels.service}", service="${__field.labels.service}")],
)
STARTS = chart(
    "Starts",
    "What has started, and when?",
    "As Prometheus sees it, so also what the monitor does not run.",
    ask("sum by (job) (changes(process_start_time_seconds[$__rate_interval]))", "{{job}}"),
    "short",
    decimals=0,
    columns=True,
    none="nothing is scraped",
)
EXITS = bars(
    "Unplanned ends",
    "Who crashes most?",
    "Of the newest 256 runs of each.",
    ask(f"sort_desc(max by (service) (monitor_workload_unplanned_exits{{{ALL}}}))", "{{service}}"),
    "short",
    decimals=0,
    steps=limits(GREEN, (1, YELLOW), (10, RED)),
    none="nothing is run",
    links=[to("service", "All about ${__field.labels.service}", service="${__field.labels.service}")],
)
HELD = table(
    "Not restarted, though broken",
    "What keeps a broken service from being healed?",
    "Each has a reason, such as a person, a budget or a need that is broken too.",
    ask(f"max by (service, reason) (monitor_heal_held{{{ALL}}})", table=True),
    [
        ("service", "Service", {"links": [to("service", "All about it", service="${__value.raw}")]}),
        ("reason", "Kept back by", {}),
    ],
    sort=("Service", False),
    none="nothing is",
)
DISAGREE = table(
    "What disagrees",
    "Where do a runtime and our checks say different things?",
    "unhealthy_but_serving: its own health check is wrong. healthy_but_failing: it cannot fail. active_but_looping: it hides a loop.",
    ask(f"max by (service, kind) (monitor_discrepancy{{{ALL}}})", table=True),
    [
        ("service", "Service", {"links": [to("service", "All about it", service="${__value.raw}")]}),
        ("kind", "What", {}),
    ],
    sort=("Service", False),
    none="nothing does",
)
RULES = table(
    "What to mend",
    "Which rules of the doctor found something?",
    "`monitor doctor` says the same with file and line.",
    ask(f"max by (rule, severity) (monitor_findings{{{ALL}}} > 0)", table=True),
    [
        ("rule", "Rule", {}),
        ("severity", "Severity", {}),
        ("Value", "How often", {"decimals": 0}),
    ],
    sort=("How often", True),
    none="nothing",
)
LOGS = log_lines(
    "What the monitor did",
    "What was started, ended and healed?",
    "Life cycles are at level info; each line has its service.",
    '{service="monitor", level=~"info|warn|error"} |~ "(?i)restart|heal|exit|ended|started|crash"',
)

DASHBOARD = Dashboard(
    "restarts",
    "Restarts and healing",
    "What crashes, who restarts it, and does healing help?",
    [
        (4, [(5, LOOPING), (5, RECURRING), (5, ANONYMOUS), (5, HEALED), (4, FINDINGS)]),
        (8, [(12, LEVEL), (12, STARTS)]),
        (7, [(6, EXITS), (6, HELD), (6, DISAGREE), (6, RULES)]),
        (8, [(24, LOGS)]),
    ],
    sources=("metrics", "logs"),
    since="now-24h",
)
