"""May we still take risks?"""

from shapes import GREEN, ORANGE, RED, YELLOW, Dashboard, ask, bars, chart, counted, limits, stat, to, words

ANY = 'monitor_slo_burn_rate{job="monitor"}'


def burning(window, still, pace):
    """Objectives that burn beyond a pace over a window, and still do over a short one; each once."""
    burn = lambda window: f'max by (service, objective) (monitor_slo_burn_rate{{job="monitor",window="{window}"}})'
    return f"({burn(window)} > {pace} and {burn(still)} > {pace})"


SPENT = stat(
    "Objectives missed",
    "Is an objective broken already?",
    "Those with no budget left stand below. No risky changes to them.",
    ask(counted('count(monitor_slo_error_budget_remaining_ratio{job="monitor"} <= 0)', ANY), "Missed"),
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, RED)),
    none="no objectives",
)
FAST = stat(
    "Burning fast",
    "Must somebody act now?",
    "14.4 times too fast for an hour or 6 times for six hours, and still: at that pace a month's budget is gone in days.",
    ask(counted(f"count({burning('1h', '5m', 14.4)} or {burning('6h', '30m', 6)})", ANY), "Burning fast"),
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, RED)),
    none="no objectives",
)
SLOWLY = stat(
    "Burning slowly",
    "Does something leak?",
    "Faster than evenly for three days, and still: it will not last the month. Mend it before new things.",
    ask(counted(f"count({burning('3d', '6h', 1)})", ANY), "Burning slowly"),
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, ORANGE)),
    none="no objectives",
)
LEFT = bars(
    "Budget left",
    "How much of each month's budget is left?",
    "Counted by the monitor from its checks over 30 days. Below 0 more failed than the objective allows.",
    ask(
        'clamp_min(min by (service, objective) (monitor_slo_error_budget_remaining_ratio{job="monitor"}), -1)',
        "{{service}} · {{objective}}",
    ),
    "percentunit",
    decimals=1,
    top=1,
    steps=limits(RED, (0.001, ORANGE), (0.25, GREEN)),
    none="no objectives",
    links=[to("service", "All about ${__field.labels.service}", service="${__field.labels.service}")],
)
PACE = chart(
    "Pace of spending",
    "Who spends, and since when?",
    "1 is evenly over the month; 14.4 for an hour pages.",
    ask(
        'max by (service, objective) (monitor_slo_burn_rate{job="monitor",window="1h"})', "{{service}} · {{objective}}"
    ),
    "short",
    decimals=1,
    limit=14.4,
    none="no objectives",
    links=[to("service", "All about ${__field.labels.service}", service="${__field.labels.service}")],
)
GONE = bars(
    "Gone in",
    "How long will it last at the pace of the last six hours?",
    "What does not burn is not listed.",
    ask(
        'sort(clamp_min(monitor_slo_error_budget_remaining_ratio{job="monitor"}, 0) * 30 * 86400'
        ' / on (service, objective) (monitor_slo_burn_rate{job="monitor",window="6h"} > 0.01))',
        "{{service}} · {{objective}}",
    ),
    "s",
    decimals=0,
    top=30 * 86400,
    steps=limits(RED, (5 * 86400, ORANGE), (30 * 86400, GREEN)),
    none="nothing burns",
)
USERS = chart(
    "Requests of users that fail",
    "Does it hit people too, not only probes?",
    "The line is what 99.9 % allows. Last hour; 5xx of all requests.",
    ask("sum by (service) (service:http_requests_5xx:ratio_rate1h or 0 * service:http_requests:rate5m)", "{{service}}"),
    "percentunit",
    decimals=2,
    limit=0.001,
    none="nobody asks",
    links=[to("service", "All about ${__field.labels.service}", service="${__field.labels.service}")],
)
WINDOWS = bars(
    "Requests of users that fail, by window",
    "Is it over, or going on?",
    "Short windows calm and long ones red: it is over. Share of 5xx, the worst service of each window.",
    [
        ask(
            f"max(service:http_requests_5xx:ratio_rate{window}) or max(0 * service:http_requests:rate5m)",
            text,
        )
        for window, text in [
            ("5m", "5 minutes"),
            ("30m", "30 minutes"),
            ("1h", "an hour"),
            ("6h", "6 hours"),
            ("3d", "3 days"),
        ]
    ],
    "percentunit",
    decimals=2,
    steps=limits(GREEN, (0.001, YELLOW), (0.0144, RED)),
    none="nobody asks",
)

DASHBOARD = Dashboard(
    "slo",
    "SLO and error budgets",
    "May we still take risks: how much of each error budget is left, and who spends it?",
    [
        (4, [(8, SPENT), (8, FAST), (8, SLOWLY)]),
        (9, [(12, LEFT), (12, PACE)]),
        (8, [(8, GONE), (8, USERS), (8, WINDOWS)]),
    ],
    since="now-24h",
)
