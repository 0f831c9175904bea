"""What analytics answer over a large SQLite file."""

import contextlib
import pathlib
import random
import secrets
import sqlite3
import tempfile
import time

from scale import took
from stage import SETTLE_SECS, figure, percentile, say

EVENTS, METRICS, USERS, DAYS = 1_000_000, 100_000, 10_000, 90
TYPES, ENDPOINTS, SERVICES, NAMES = 20, 50, 8, 40
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
# As the service counts one event after another (services/platform-services/src/analytics/event.rs), for all at once.
COUNT = f"""
CREATE TEMP TABLE counted AS SELECT coalesce(user_id, '') AS user_id, event_type, at_ms, event_type = 'api_call' AS call,
    coalesce(json_extract(event_data, '$.tokens_used'), 0) AS tokens, json_extract(event_data, '$.endpoint') AS endpoint,
    CAST(round(coalesce(json_extract(event_data, '$.cost_usd'), 0) * 1e6) AS INTEGER) AS cost FROM analytics_events;
INSERT INTO analytics_usage SELECT user_id, at_ms - at_ms % {DAY_MS}, sum(call), sum(tokens), sum(cost) FROM counted
    WHERE user_id <> '' AND (call OR tokens OR cost) GROUP BY 1, 2;
INSERT INTO analytics_usage SELECT '', at_ms - at_ms % {DAY_MS}, sum(call), sum(tokens), sum(cost) FROM counted GROUP BY 2;
INSERT INTO analytics_hours SELECT event_type, at_ms - at_ms % {HOUR_MS}, count(*), sum(call), sum(tokens), sum(cost)
    FROM counted GROUP BY 1, 2;
INSERT INTO analytics_hours SELECT '', hour_ms, sum(events), sum(calls), sum(tokens), sum(cost_micros)
    FROM analytics_hours GROUP BY 2;
INSERT INTO analytics_endpoints SELECT hour_ms, endpoint, count(*) FROM
    (SELECT at_ms - at_ms % {HOUR_MS} AS hour_ms, endpoint FROM counted WHERE call UNION ALL
     SELECT at_ms - at_ms % {HOUR_MS}, endpoint FROM analytics_metrics) GROUP BY 1, 2;
INSERT INTO analytics_users SELECT user_id, max(at_ms) FROM counted WHERE user_id <> '' GROUP BY 1;
"""


def analytics(stage):
    """Asks for everything that analytics answer, with a million events of ten thousand users over three months."""
    say(f"{EVENTS} events, {METRICS} metrics, {USERS} users, {DAYS} days: into SQLite")
    folder = pathlib.Path(tempfile.mkdtemp(dir=stage.folder))
    settings = {"REQUIRE_API_KEY": "false", "JWT_SECRET": secrets.token_hex(32)}
    with stage.platform(folder, **settings):
        pass  # It makes its own tables.
    fill(folder / "platform.db")
    with stage.platform(folder, **settings) as port:
        time.sleep(SETTLE_SECS)
        times = {name: took(port, path) for name, path in reads().items()}
    return [
        figure(f"{EVENTS} events: {name}, p{percent} ms", percentile(found, percent), None)
        for name, found in times.items()
        for percent in [50, 95]
    ]


def fill(path):
    # The same data every time, but for the time.
    some, now = random.Random(1), int(time.time() * 1000)
    moments = sorted(now - some.randrange(DAYS * DAY_MS) for _ in range(EVENTS))
    with contextlib.closing(sqlite3.connect(path)) as database:
        insert = "INSERT INTO analytics_events (at_ms, event_type, event_data, user_id) VALUES (?, ?, ?, ?)"
        database.executemany(insert, (event(some, at_ms) for at_ms in moments))
        insert = "INSERT INTO analytics_metrics (at_ms, metric_name, metric_value, metric_type, user_id, service_name, endpoint, labels) VALUES (?, ?, ?, 'gauge', ?, ?, ?, '{}')"
        database.executemany(insert, (metric(some, at_ms) for at_ms in moments[:: EVENTS // METRICS]))
        for statement in filter(str.strip, COUNT.split(";")):
            database.execute(statement)
        database.commit()


def event(some, at_ms):
    """Half of them are calls, a quarter of the others cost something; one in fifty is nobody's."""
    user = None if some.random() < 0.02 else f"user-{some.randrange(USERS)}"
    if some.random() < 0.5:
        return at_ms, "api_call", f'{{"endpoint":"/endpoint/{some.randrange(ENDPOINTS)}"}}', user
    kind = some.randrange(TYPES)
    data = f'{{"tokens_used":{some.randrange(4000)},"cost_usd":{some.randrange(90000) / 1e6}}}' if kind % 4 == 0 else "{}"
    return at_ms, f"type-{kind}", data, user


def metric(some, at_ms):
    user, service = f"user-{some.randrange(USERS)}", f"service-{some.randrange(SERVICES)}"
    name, endpoint = f"metric-{some.randrange(NAMES)}", f"/endpoint/{some.randrange(ENDPOINTS)}"
    return at_ms, name, str(some.random()), user, service, endpoint


def reads():
    """Returns what is asked for, by its name: each a path for a turn."""

    def ago(days, turn):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * 86_400 - turn * 61))

    def user(turn):
        return f"user-{turn * 37 % USERS}"

    pages = {
        "events": lambda turn: f"events?page={turn % 20 + 1}",
        "events of a user": lambda turn: f"events?user_id={user(turn)}",
        "events of a type": lambda turn: f"events?event_type=api_call&page={turn % 20 + 1}",
        "events of a type in a month": lambda turn: f"events?event_type=api_call&from={ago(60, turn)}&to={ago(30, turn)}",
        "the last page of events": lambda turn: f"events?page={2000 - turn % 20}",
        "metrics": lambda turn: "metrics",
        "metrics of a name and service": lambda turn: f"metrics?metric_name=metric-{turn % NAMES}&service_name=service-{turn % SERVICES}",
        "metrics of a user": lambda turn: f"metrics?user_id={user(turn)}",
        "usage of a user by month": lambda turn: f"usage/{user(turn)}?period_type=monthly&days=400",
        "costs of a month": lambda turn: "costs",
        "costs of all time": lambda turn: "costs?days=400",
        "dashboard of a day": lambda turn: "dashboard",
        "dashboard of a month": lambda turn: "dashboard?hours=744",
    }
    return {name: (lambda turn, path=path: f"/analytics/{path(turn)}") for name, path in pages.items()}
