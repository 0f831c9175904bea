"""Do alerts reach people?"""

from shapes import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    YELLOW,
    Dashboard,
    ask,
    bars,
    chart,
    counted,
    limits,
    log_lines,
    stat,
    to_monitor,
    words,
)

DEAD = stat(
    "Not told",
    "Have people missed something?",
    "Messages of a day that a channel refused for good. `monitor alerts dead` shows them: read them first, then mend the channel.",
    ask(
        counted('sum(increase(monitor_alert_deliveries_total{state="dead"}[1d]))', "monitor_alerts_pending"), "Not told"
    ),
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (0.5, RED)),
    none="no channels",
    links=[to_monitor("Deliveries", "/alerts")],
)
OLDEST = stat(
    "Oldest that waits",
    "Is a message on its way too long?",
    "A quarter of an hour pages through Alertmanager.",
    ask("max(monitor_alerts_oldest_age_seconds)", "Oldest"),
    "s",
    decimals=0,
    mappings=words((0, "none waits", GREEN)),
    steps=limits(GREEN, (60, YELLOW), (900, RED)),
    none="no channels",
)
SLOW = stat(
    "Slowest of twenty",
    "How soon does a channel have a message?",
    "From the incident to the channel's yes. A quarter of a second is usual; at five a ticket is written.",
    ask("max(job_instance:monitor_alert_hand_over_seconds:p95_15m >= 0)", "Slowest"),
    "s",
    decimals=1,
    steps=limits(GREEN, (1, YELLOW), (5, RED)),
    none="nothing sent lately",
)
DRILL = stat(
    "Last drill",
    "When did we last prove that messages arrive?",
    "More than eight days: `monitor alerts drill`, or give it a day in the configuration.",
    ask('time() - max(monitor_alert_drill_last_success_timestamp_seconds{job="monitor"})', "Last drill"),
    "s",
    decimals=0,
    steps=limits(GREEN, (8 * 86400, RED)),
    none="never",
)
PULSE = stat(
    "Dead man's ping",
    "Would somebody outside notice if the monitor were gone?",
    "Older than a quarter of an hour: it is held back while a channel does not work.",
    ask("time() - max(monitor_dead_man_last_success_timestamp_seconds > 0)", "Ping"),
    "s",
    decimals=0,
    steps=limits(GREEN, (300, YELLOW), (900, RED)),
    none="never, or not set up",
)
WAITING = chart(
    "Waiting",
    "Which channel is stuck?",
    "Grows on one channel only: that one. On all: the network, or the monitor itself.",
    ask("sum by (job, channel) (monitor_alerts_pending)", "{{job}} → {{channel}}"),
    "short",
    decimals=0,
    none="no channels",
)
TRIES = chart(
    "Tries",
    "What do channels answer?",
    "refused: address, token or message. failed: not reachable. busy: it asks for patience, and gets it.",
    ask("sum by (result) (increase(monitor_alert_attempts_total[$__rate_interval]))", "{{result}}"),
    "short",
    decimals=0,
    columns=True,
    colours={"accepted": GREEN, "busy": YELLOW, "failed": ORANGE, "refused": RED, "expired": PURPLE},
    none="no channels",
)
ENDS = bars(
    "What became of messages",
    "Did they arrive, in the time shown?",
    "dead: refused for good. suppressed: silenced. cancelled: over before it was told. held: waits for its turn.",
    ask("sum by (state) (increase(monitor_alert_deliveries_total[$__range]))", "{{state}}"),
    "short",
    decimals=0,
    steps=limits(BLUE),
    none="no channels",
)
QUIET = stat(
    "Kept quiet on purpose",
    "Does somebody silence what we look for?",
    "Silences and maintenance end by themselves; the page of alerts says when.",
    [
        ask("sum(monitor_silences_active)", "silences"),
        ask("sum(monitor_maintenance_active)", "maintenance"),
    ],
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, YELLOW)),
    none="not known",
)
HANDED = chart(
    "From Prometheus",
    "Do alerts of Prometheus get to the monitor and to Alertmanager?",
    "Errors for two minutes: Alertmanager tells people by itself.",
    [
        ask(
            "sum by (alertmanager) (rate(prometheus_notifications_sent_total[$__rate_interval]))", "to {{alertmanager}}"
        ),
        ask(
            "sum by (alertmanager) (rate(prometheus_notifications_errors_total[$__rate_interval]))",
            "NOT to {{alertmanager}}",
        ),
    ],
    "cps",
    decimals=2,
    none="Prometheus does not scrape itself",
)
OTHERS = chart(
    "From Alertmanager",
    "Can Alertmanager tell people when the monitor cannot?",
    "Failing: see its log, and `smtp_…` in alerts/alertmanager.yml.",
    [
        ask("sum by (integration) (rate(alertmanager_notifications_total[$__rate_interval])) > 0", "{{integration}}"),
        ask(
            "sum by (integration) (rate(alertmanager_notifications_failed_total[$__rate_interval]))"
            " and on (integration) sum by (integration) (alertmanager_notifications_total) > 0",
            "{{integration}}, failed",
        ),
    ],
    "cps",
    decimals=2,
    none="it tells nobody",
)
LOGS = log_lines(
    "What the monitors say of channels",
    "Why was something not delivered?",
    "The channel's own answer stands in the line.",
    '{service=~"monitor|auth-monitor", level=~"warn|error"} |~ "channel|deliver"',
)

DASHBOARD = Dashboard(
    "delivery",
    "Alert delivery",
    "Do alerts reach people, how soon, and would we notice if not?",
    [
        (4, [(5, DEAD), (5, OLDEST), (5, SLOW), (5, DRILL), (4, PULSE)]),
        (8, [(8, WAITING), (8, TRIES), (8, ENDS)]),
        (8, [(10, HANDED), (10, OTHERS), (4, QUIET)]),
        (7, [(24, LOGS)]),
    ],
    sources=("metrics", "logs"),
    since="now-6h",
)
