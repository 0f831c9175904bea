"""Can people sign in?"""

from shapes import (
    BLUE,
    GREEN,
    PURPLE,
    RED,
    YELLOW,
    Dashboard,
    ask,
    bars,
    chart,
    limits,
    log_lines,
    stat,
    to,
    to_traces,
    words,
)

SLOW = to_traces("Slow logins", '{resource.service.name="platform-services" && name=~".*login.*" && duration>100ms}')

WORKS = stat(
    "Signing in",
    "Can users sign in, and where not?",
    "Fails: the steps below show how far a sign-in gets. All: platform-services. Only the gateway: look there.",
    ask("min by (service) (auth_success_status)", "{{service}}"),
    mappings=words((1, "works", GREEN), (0, "FAILS", RED)),
    steps=limits(RED, (1, GREEN)),
    none="nobody tries",
    names=True,
    links=[to("check", "Its checks", watcher="auth-monitor", service="${__field.labels.service}", check="sign-in")],
)
SINCE = stat(
    "Last success",
    "How long ago did it last work?",
    "It is tried every minute. More than a few minutes: it fails, or nobody tries.",
    ask("time() - max by (service) (auth_last_success_timestamp)", "{{service}}"),
    "s",
    decimals=0,
    steps=limits(GREEN, (150, YELLOW), (300, RED)),
    none="never",
    names=True,
)
ROW = stat(
    "Failed in a row",
    "Is it a hiccup?",
    "One may be; two minutes of them page.",
    ask("max by (service) (auth_consecutive_failures)", "{{service}}"),
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, YELLOW), (3, RED)),
    none="nobody tries",
    names=True,
)
ATTACK = stat(
    "Attacks",
    "Does somebody try passwords?",
    "Which accounts and from where stands on the page of auth-monitor.",
    ask('max(monitor_check_health{job="auth-monitor",service="sign-in-attacks",health="down"})', "Attacks"),
    mappings=words((0, "none seen", GREEN), (1, "UNDER ATTACK", RED)),
    none="nobody looks",
    links=[to("check", "What it sees", watcher="auth-monitor", service="sign-in-attacks", check="events")],
)
SHARE = chart(
    "Tries that succeed",
    "How reliable is it?",
    "Below nine in ten for a quarter of an hour a ticket is written.",
    ask("service:auth_attempts:success_ratio_rate15m", "{{service}}"),
    "percentunit",
    top=1,
    decimals=1,
    none="no tries",
)
TRIES = chart(
    "Tries of auth-monitor",
    "How do tries end?",
    "Purple: it could not try at all, so nothing is known of sign-in.",
    ask("sum by (status) (increase(auth_attempts_total[$__rate_interval]))", "{{status}}"),
    "short",
    decimals=0,
    columns=True,
    colours={"success": GREEN, "failure": RED, "error": PURPLE},
    none="no tries",
)
WAIT = chart(
    "Slowest request of a sign-in",
    "Is it slow?",
    "Beyond the line (a second) a ticket is written; the budget is 0.2 s. Hashing passwords takes processor time.",
    [
        ask(
            f"histogram_quantile({share}, sum by (service, le) (rate(auth_response_time_seconds_bucket[$__rate_interval])))",
            f"{{{{service}}}}, {legend}",
            exemplars=True,
        )
        for share, legend in [(0.5, "half"), (0.95, "slowest of twenty")]
    ],
    "s",
    limit=1,
    links=[SLOW],
    none="no tries",
)
STEPS = bars(
    "Steps of a sign-in",
    "Which step takes its time?",
    "Means of the last quarter of an hour; the ten slowest steps.",
    ask(
        "topk(10, sum by (service, step) (rate(auth_monitor_step_duration_seconds_sum[15m]))"
        " / sum by (service, step) (rate(auth_monitor_step_duration_seconds_count[15m]) > 0))",
        "{{service}} · {{step}}",
    ),
    "s",
    decimals=1,
    steps=limits(GREEN, (0.2, YELLOW), (1, RED)),
    none="no steps yet",
)
LOGINS = chart(
    "Logins of people",
    "Do real users get in?",
    "Mostly refused for minutes: an attack, or a client that lost its password.",
    [
        ask("sum(service:logins:rate5m)", "all"),
        ask("sum(service:logins_refused:rate5m)", "refused"),
    ],
    "reqps",
    decimals=2,
    colours={"all": BLUE, "refused": RED},
    none="nobody signs in",
)
LEFT = stat(
    "Test accounts left",
    "Can auth-monitor clean up after itself?",
    "At ten it stops trying to sign in. Is their deletion refused?",
    ask("max(auth_monitor_accounts_left)", "Left"),
    decimals=0,
    steps=limits(GREEN, (3, YELLOW), (6, RED)),
    none="not known",
)
LOGS = log_lines(
    "What goes wrong in sign-in",
    "What do both sides say?",
    "Open a line: its trace_id leads to the trace through gateway and platform.",
    '{service=~"auth-monitor|platform-services", level=~"warn|error"}',
)

DASHBOARD = Dashboard(
    "auth",
    "Sign-in",
    "Can people sign in, how fast, and does somebody attack it?",
    [
        (4, [(6, WORKS), (5, SINCE), (5, ROW), (4, ATTACK), (4, LEFT)]),
        (8, [(8, SHARE), (8, TRIES), (8, LOGINS)]),
        (9, [(12, WAIT), (12, STEPS)]),
        (8, [(24, LOGS)]),
    ],
    [],
    ("metrics", "logs", "traces"),
    refresh="5s",
    since="now-1h",
)
