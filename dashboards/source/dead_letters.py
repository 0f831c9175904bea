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
    words,
)

LOST = stat(
    "Lost before they were seen",
    "Is work gone for good?",
    "Of a day: removed before dlq-processor read them. Anything but none pages: let the queue keep failed jobs for longer.",
    ask(
        counted(
            "sum((dlq_capture_missed_total unless dlq_capture_missed_total offset 1d)"
            " or increase(dlq_capture_missed_total[1d]))",
            "dlq_source_up",
        ),
        "Lost",
    ),
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
    "Does trying again help?",
    "Mostly recurred: the cause is still there, so stop trying and mend that.",
    ask("sum by (outcome) (increase(dlq_redrive_outcome_total[$__rate_interval]))", "{{outcome}}"),
    "short",
    decimals=0,
    columns=True,
    colours={"resolved": GREEN, "recurred": RED, "lost": YELLOW},
    none="no dead-letter processor",
)
BREAKERS = table(
    "Stopped by a breaker",
    "For what has trying again been stopped?",
    "It opens by itself when most fail, and tries one now and then. Mend the cause.",
    ask("max by (queue, name) (dlq_breaker_open) > 0", table=True),
    [
        ("queue", "Queue", {}),
        ("name", "Job", {}),
        ("Value", "State", filled(words((1, "open", RED)))),
    ],
    sort=("Queue", False),
    none="none, or no dead-letter processor",
)
PUT_BACK = chart(
    "Put back",
    "Is anything tried again, and what comes of it at once?",
    "moved: put back. gone, not_failed: somebody was there before. fence: it had failed again.",
    ask("sum by (result) (increase(dlq_redrive_total[$__rate_interval]))", "{{result}}"),
    "short",
    decimals=0,
    columns=True,
    none="no dead-letter processor",
)
SOURCES = stat(
    "Sources",
    "Can it see every queue?",
    "DOWN: Redis is not reachable from the processor, or refuses its password.",
    ask("min by (source) (dlq_source_up)", "{{source}}"),
    mappings=words((0, "DOWN", RED), (1, "up", GREEN)),
    steps=limits(RED, (1, GREEN)),
    none="no dead-letter processor",
    names=True,
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
        (7, [(8, PUT_BACK), (8, BREAKERS), (8, SOURCES)]),
        (7, [(24, LOGS)]),
    ],
    sources=("metrics", "logs"),
    since="now-24h",
)
