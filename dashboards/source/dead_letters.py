"""What work was lost or waits for somebody?"""

from shapes import (
    GREEN,
    RED,
    YELLOW,
    Dashboard,
    ask,
    chart,
    counted,
    filled,
    limits,
    log_lines,
    stat,
    table,
    to_letters,
    to_traces,
    words,
)

OF_QUEUE = to_letters("Its letters", "/letters?queue=${__field.labels.queue}")
PAGE = to_letters("The page of dead letters", "/")
TRACES_OF_LETTERS = to_traces("Traces of letters", '{resource.service.name="dlq-processor"}')

LOST = stat(
    "Lost before they were seen",
    "Is work gone for good?",
    "Of a day. Gaps: a queue forgot news before they were heard. Lost ones page: have the queue keep failed jobs for longer.",
    [
        ask(
            counted(f"sum(({total} unless {total} offset 1d) or increase({total}[1d]))", "dlq_source_up"),
            legend,
        )
        for total, legend in [("dlq_capture_missed_total", "lost"), ("dlq_capture_gaps_total", "gaps")]
    ],
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (0.5, RED)),
    none="no dead-letter processor",
)
PARKED = stat(
    "Wait for somebody",
    "How many need a person?",
    "By fingerprint: one decision is good for all of one kind.",
    ask(counted('sum(dlq_entries{state="parked"})', "dlq_source_up"), "Parked"),
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, YELLOW), (100, RED)),
    none="no dead-letter processor",
    links=[PAGE],
)
OLDEST = stat(
    "Oldest that waits",
    "For how long has nobody looked?",
    "Of those that are parked. After a day a ticket is written.",
    ask(counted('max(dlq_oldest_entry_age_seconds{state="parked"})', "dlq_source_up"), "Oldest"),
    "s",
    decimals=0,
    mappings=words((0, "none waits", GREEN)),
    steps=limits(GREEN, (3600, YELLOW), (86400, RED)),
    none="no dead-letter processor",
)
UNCERTAIN = stat(
    "Not certain",
    "Of how many do we not know whether they ran?",
    "Decide by hand whether running them again does harm.",
    ask(counted('sum(dlq_entries{state="uncertain"})', "dlq_source_up"), "Not certain"),
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, RED)),
    none="no dead-letter processor",
)
MAILS = stat(
    "Mails to users",
    "Do mails get out?",
    "Waiting: the mail server does not answer. Lost: refused, too late or not queued within an hour.",
    [
        ask("sum(platform_mails_waiting)", "wait"),
        ask('sum(increase(platform_mails_total{result=~"refused|late|lost"}[1h]))', "came to nothing"),
    ],
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, YELLOW), (10, RED)),
    none="not scraped",
)
ARRIVALS = chart(
    "New dead letters",
    "Does it get worse?",
    "A step up after a roll-out, or a new kind of failure: take it back.",
    [
        ask("sum by (queue) (increase(dlq_captured_total[$__rate_interval]))", "{{queue}}"),
        ask("sum(increase(dlq_fingerprints_new_total[$__rate_interval]))", "of a new kind"),
    ],
    "short",
    decimals=0,
    columns=True,
    none="no dead-letter processor",
    links=[OF_QUEUE, TRACES_OF_LETTERS],
)
STATES = chart(
    "Dead letters by state",
    "What is done about them?",
    "Parked ones wait for a person; scheduled ones are tried again by themselves.",
    ask("sum by (state) (dlq_entries)", "{{state}}"),
    "short",
    decimals=0,
    stacked=True,
    none="no dead-letter processor",
)
AGAIN = chart(
    "Tried again",
    "Is anything tried again, and does it help?",
    "Mostly recurred: the cause is still there, so stop trying and mend that. gone, not_failed: somebody was there before.",
    [
        ask("sum by (outcome) (increase(dlq_redrive_outcome_total[$__rate_interval]))", "{{outcome}}"),
        ask("sum by (result) (increase(dlq_redrive_total[$__rate_interval]))", "{{result}}, at once"),
    ],
    "short",
    decimals=0,
    columns=True,
    colours={"resolved": GREEN, "recurred": RED, "lost": YELLOW},
    none="no dead-letter processor",
    links=[TRACES_OF_LETTERS],
)
HELD = table(
    "Held back or unsafe",
    "For what has trying again been stopped, and why?",
    "A breaker tries one now and then: mend the cause. What is unsafe waits for a change of the queue or its server.",
    ask(
        'label_replace(max by (queue, name) (dlq_breaker_open) > 0, "reason", "breaker", "", "")'
        " or max by (queue, reason) (dlq_queue_held) > 0"
        ' or label_replace(max by (source, queue, kind) (dlq_queue_peril) > 0, "reason", "unsafe: $1", "kind", "(.*)")'
        ' or label_replace(max by (source) (1 - dlq_source_armed) > 0, "reason", "its server may lose it", "", "")',
        table=True,
    ),
    [
        ("source", "Source", {}),
        ("queue", "Queue", {}),
        ("name", "Job", {}),
        ("reason", "Reason", {}),
        ("Value", "State", filled(words((1, "held", RED)))),
    ],
    sort=("Queue", False),
    none="none, or no dead-letter processor",
)
IN_QUEUES = chart(
    "In their queues",
    "What do the queues themselves hold: jobs that wait, and dead ones?",
    "More and more wait: nobody works, or too few. Dead ones cost memory: discard what nobody needs.",
    [
        ask("sum by (queue) (dlq_source_failed)", "{{queue}}, dead"),
        ask("sum by (queue) (bullmq_queue_waiting)", "{{queue}}, waiting"),
    ],
    "short",
    decimals=0,
    none="no dead-letter processor",
    links=[OF_QUEUE],
)
SOURCES = stat(
    "Sources",
    "Can it see every queue, and does it act?",
    "DOWN: its server is not reachable, or refuses the password. Acts, DOWN: nobody has the lease of the ledger.",
    [ask("min by (source) (dlq_source_up)", "{{source}}"), ask("sum(dlq_lease_held)", "acts")],
    mappings=words((0, "DOWN", RED), (1, "up", GREEN)),
    steps=limits(RED, (1, GREEN)),
    none="no dead-letter processor",
    names=True,
)
SOON = chart(
    "How soon",
    "Are failures copied before a queue throws them away, and how late is work that failed first?",
    "Copied within seconds: else look at Redis and at the ledger's disk. Done after days: they waited for a person.",
    [
        ask(
            f"histogram_quantile({share}, sum by (le) (rate({name}_bucket[$__rate_interval])))",
            legend,
        )
        for name, share, legend in [
            ("dlq_capture_lag_seconds", 0.5, "copied, half of them"),
            ("dlq_capture_lag_seconds", 0.99, "copied, slowest of a hundred"),
            ("dlq_time_to_resolution_seconds", 0.5, "done, half of them"),
            ("dlq_time_to_resolution_seconds", 0.95, "done, slowest of twenty"),
        ]
    ],
    "s",
    none="no dead-letter processor, or nothing fails",
)
LOGS = log_lines(
    "What workers say",
    "Why do jobs die?",
    "Open a line: its trace_id leads to the job's trace.",
    '{service=~"dlq-processor|automation-services", level=~"warn|error"}',
)

DASHBOARD = Dashboard(
    "dead-letters",
    "Dead letters",
    "What work was lost, what waits for somebody, and does trying again help?",
    [
        (4, [(5, LOST), (5, PARKED), (5, OLDEST), (4, UNCERTAIN), (5, MAILS)]),
        (8, [(8, ARRIVALS), (8, STATES), (8, AGAIN)]),
        (7, [(6, SOON), (7, HELD), (6, IN_QUEUES), (5, SOURCES)]),
        (7, [(24, LOGS)]),
    ],
    sources=("metrics", "logs", "traces"),
    since="now-24h",
)
