"""Can we trust what the monitors say?"""

from shapes import GREEN, ORANGE, RED, YELLOW, Dashboard, ask, chart, limits, stat, words

UP = stat(
    "Monitors",
    "Do they run, as Prometheus sees them?",
    "DOWN: nobody watches, and Alertmanager mails by itself. Its log, then `monitor check-config`.",
    ask('max by (job) (up{job=~"monitor|auth-monitor"})', "{{job}}"),
    mappings=words((0, "DOWN", RED), (1, "up", GREEN)),
    steps=limits(RED, (1, GREEN)),
    none="not scraped",
    names=True,
)
LOOK = stat(
    "Newest look",
    "Do they still look?",
    "Older than ten minutes: it answers, but watches nothing. Restart it, and keep its log.",
    ask("clamp_min(time() - max by (job) (monitoring_last_update), 0)", "{{job}}"),
    "s",
    decimals=0,
    steps=limits(GREEN, (60, YELLOW), (600, RED)),
    none="never",
    names=True,
)
BLIND = stat(
    "Blind checks",
    "How many checks could not be asked for long?",
    "Whether their services work is not known. `monitor status` says why.",
    ask("sum(monitor_check_blind)", "Blind"),
    decimals=0,
    mappings=words((0, "none", GREEN)),
    steps=limits(GREEN, (1, ORANGE)),
    none="not known",
)
DISK = stat(
    "Memory of the past",
    "Is what they see written down?",
    "Not written: the disk is full or broken. Do not restart before that is mended.",
    ask("min by (job) (monitor_store_healthy)", "{{job}}"),
    mappings=words((0, "NOT WRITTEN", RED), (1, "written", GREEN)),
    steps=limits(RED, (1, GREEN)),
    none="not known",
    names=True,
)
CONFIG = stat(
    "Configuration",
    "Do they run with what is on disk?",
    "`monitor check-config FILE` names each mistake with its line. A restart may be what is missing.",
    ask(
        "min by (job) (monitor_config_last_reload_successful - on (job, instance) 2 * monitor_config_restart_needed)",
        "{{job}}",
    ),
    mappings=words((1, "in use", GREEN), (0, "REFUSED", RED), (-1, "needs a restart", YELLOW), (-2, "REFUSED", RED)),
    steps=limits(RED, (1, GREEN)),
    none="not known",
    names=True,
)
LATE = chart(
    "How late probes begin",
    "Do they keep up?",
    "The latest of a hundred rounds. Beyond the line (a second) a ticket is written: a busy machine, or too many checks.",
    ask("job_instance:monitor_scheduler_lag_seconds:p99_5m", "{{job}}"),
    "s",
    limit=1,
    none="no rounds yet",
)
PROBES = chart(
    "Probes",
    "How much do they do?",
    "Missed: a probe takes longer than its interval.",
    [
        ask("sum by (job) (rate(monitor_probe_results_total[$__rate_interval]))", "{{job}}"),
        ask("sum by (job) (rate(monitor_scheduler_overruns_total[$__rate_interval]))", "{{job}}, missed"),
    ],
    "cps",
    decimals=2,
    none="no probes",
)
RUNTIME = chart(
    "Threads that are busy",
    "Has their runtime room?",
    "Near 100 %, or tasks that wait for a thread: something computes or blocks where it should not, or the machine is too small.",
    [
        ask("sum by (job) (rate(tokio_busy_seconds_total[5m])) / sum by (job) (tokio_workers)", "{{job}}"),
        ask("sum by (job) (tokio_global_queue_depth)", "{{job}}, tasks that wait"),
    ],
    "percentunit",
    decimals=0,
    none="not scraped",
)
# Tasks are on an axis of their own.
RUNTIME.overrides.append(
    {
        "matcher": {"id": "byFrameRefID", "options": "B"},
        "properties": [{"id": "unit", "value": "short"}, {"id": "custom.axisPlacement", "value": "right"}],
    }
)
COMMITS = chart(
    "Time to write to disk",
    "Is the disk slow?",
    "Mean of a commit. Slow disks do not delay probes, but news waits in memory.",
    ask(
        "sum by (job, store) (rate(monitor_store_commit_seconds_total[$__rate_interval]))"
        " / sum by (job, store) (rate(monitor_store_commits_total[$__rate_interval]) > 0)",
        "{{job}}: {{store}}",
    ),
    "s",
    none="nothing written",
)
TROUBLE = chart(
    "What was lost",
    "What do they not know?",
    "gaps: nobody looked for a while. commits: the disk refused. dropped: it did for too long.",
    [
        ask("sum by (job) (increase(monitor_gaps_total[$__rate_interval]))", "{{job}}: gaps"),
        ask("sum by (job) (increase(monitor_store_failures_total[$__rate_interval]))", "{{job}}: commits"),
        ask("sum by (job) (increase(monitor_store_dropped_total[$__rate_interval]))", "{{job}}: dropped"),
        ask("sum by (job) (increase(telemetry_spans_dropped_total[$__rate_interval]))", "{{job}}: spans"),
    ],
    "short",
    decimals=0,
    columns=True,
    none="nothing",
)
CPU = chart(
    "Processor",
    "What do they cost?",
    "1 is one core, busy.",
    ask(
        'sum by (job) (rate(process_cpu_seconds_total{job=~"monitor|auth-monitor|prometheus|alertmanager"}[$__rate_interval]))',
        "{{job}}",
    ),
    "short",
    decimals=2,
    none="not scraped",
)
MEMORY = chart(
    "Memory",
    "Do they leak?",
    "Grows for days and falls with each start: a leak. Write a ticket with the version.",
    ask('max by (job) (process_resident_memory_bytes{job=~"monitor|auth-monitor|prometheus|alertmanager"})', "{{job}}"),
    "bytes",
    none="not scraped",
)
SCRAPES = chart(
    "Scrapes",
    "Does Prometheus get everything in time?",
    "Near the scrape interval: too many series, or a busy machine.",
    ask("max by (job) (scrape_duration_seconds)", "{{job}}"),
    "s",
    none="nothing is scraped",
)

DASHBOARD = Dashboard(
    "themselves",
    "The monitors themselves",
    "Can we trust what the monitors say: do they run, look, keep up and write down?",
    [
        (4, [(5, UP), (5, LOOK), (4, BLIND), (5, DISK), (5, CONFIG)]),
        (8, [(6, LATE), (6, PROBES), (6, RUNTIME), (6, TROUBLE)]),
        (8, [(6, COMMITS), (6, CPU), (6, MEMORY), (6, SCRAPES)]),
    ],
)
