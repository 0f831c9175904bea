"""What dead letters cost: how fast they are taken in and put back, beside a worker of npm's BullMQ, and what a million of them
take."""

import contextlib
import json
import os
import pathlib
import sqlite3
import subprocess
import tempfile
import time
import urllib.request

from stage import ROOT, SETTLE_SECS, Process, ask, figure, free_port, memory_mib, percentile, say, wait_for

QUEUE = "bench"
# So many that the time to find the queue and to be asked does not count.
LETTERS, JOBS = 100_000, 20_000
MILLION = 1_000_000
# Jobs of a megabyte.
LARGE = 500
TOKEN = "correct-horse-battery-staple"
WHY = "connect ECONNREFUSED 127.0.0.1:25"
# What a worker of its own process does: it fails jobs, or is done with them, as fast as it can.
WORKER = """
const [packages, port, jobs, fails] = process.argv.slice(1);
const { Queue, Worker } = require("node:module").createRequire(`${packages}/x.js`)("bullmq-5-58");
const connection = { host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: null };
(async () => {
  const queue = new Queue("peer", { connection });
  for (let at = 0; at < jobs; at += 1000)
    await queue.addBulk(Array.from({ length: 1000 }, () => ({ name: "job", data: { text: "x".repeat(180) } })));
  let left = Number(jobs);
  const began = performance.now();
  const end = () => { if (--left === 0) { console.log(jobs / ((performance.now() - began) / 1000)); process.exit(0); } };
  const worker = new Worker("peer", async () => { if (fails === "fail") throw new Error("no"); }, { connection, concurrency: 50 });
  worker.on("completed", end).on("failed", end);
})();
"""


# A queue that keeps so many failed jobs, and a worker that fails about 800 a second.
KEPT, TRIMMED, AT_ONCE = 50, 10_000, 8
FAILS_AND_TRIMS = """
const [packages, version, port, jobs, kept, concurrency] = process.argv.slice(1);
const { Queue, Worker } = require("node:module").createRequire(`${packages}/x.js`)(version);
const connection = { host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: null };
const opts = { removeOnFail: Number(kept) };
(async () => {
  const queue = new Queue("trimmed", { connection });
  // Jobs that take as long have 800 a second fail, which is what is asked for.
  const fail = async () => { await new Promise((done) => setTimeout(done, 5)); throw new Error("no"); };
  const worker = new Worker("trimmed", fail, { connection, concurrency: Number(concurrency) });
  await queue.add("job", {}, opts);
  for await (const _ of process.stdin) break;
  let left = Number(jobs);
  const began = performance.now();
  worker.on("failed", () => { if (--left === 0) { console.log(jobs / ((performance.now() - began) / 1000)); process.exit(0); } });
  for (let at = 0; at < jobs; at += 500)
    await queue.addBulk(Array.from({ length: 500 }, () => ({ name: "job", data: { text: "x".repeat(180) }, opts })));
})();
"""


# Jobs of a queue that people wait for, while its dead letters are put back: a new one each few milliseconds. The first ones,
# until the worker has done what waited for it, do not count.
LIVE = """
const [packages, port, name, jobs, first, others] = process.argv.slice(1);
const { Queue, Worker } = require("node:module").createRequire(`${packages}/x.js`)("bullmq-5-58");
const connection = { host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: null };
(async () => {
  const queue = new Queue(name, { connection });
  const waits = [];
  const worker = new Worker(name, async (job) => {
    if (job.name === "live" && job.data.counts) waits.push(performance.now() - job.data.at);
  }, { connection, concurrency: 10, removeOnComplete: { count: 1000 } });
  await worker.waitUntilReady();
  const more = () => queue.addBulk(Array.from({ length: others / 5 }, () => ({ name: "other", data: { text: "x".repeat(180) } })));
  if (others > 0) setInterval(more, 200);
  for (let sent = -first; sent < jobs; sent++) {
    await queue.add("live", { at: performance.now(), counts: sent >= 0 });
    await new Promise((done) => setTimeout(done, 4));
  }
  while (waits.length < jobs) await new Promise((done) => setTimeout(done, 10));
  console.log(JSON.stringify(waits));
  process.exit(0);
})();
"""
LIVE_JOBS, FIRST_JOBS, LIVE_TURNS = 2_000, 400, 5
# Letters that are put back a second unless told otherwise.
RATE = 20


def measure(stage):
    return speed(stage) + trimmed(stage) + beside_live_jobs(stage) + of_large_jobs(stage) + with_a_million(stage)


@contextlib.contextmanager
def redis(folder):
    """One that has each write on the disk before it answers, as the queues of the platform have it."""
    port = free_port()
    options = ["--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes"]
    with Process("redis-server", *options, "--appendfsync", "always"):
        cli = lambda *words: subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True)
        wait_for("Redis to answer", lambda: cli("ping").stdout.strip() == "PONG")
        yield port


@contextlib.contextmanager
def processor(stage, folder, more):
    port = free_port()
    (folder / "dlq-processor.yml").write_text(f"listen: 127.0.0.1:{port}\ndata_dir: data\n{more}")
    environment = os.environ | {"LOG_LEVEL": "warn"}
    with Process(stage.program("dlq-processor"), "run", cwd=folder, env=environment) as process:
        process.until(port, "/livez")
        yield process, port


def speed(stage):
    folder = pathlib.Path(tempfile.mkdtemp(dir=stage.folder))
    with redis(folder) as server:
        fail(server)
        config = f"sources: {{ bench: {{ bullmq: {{ url: 'redis://127.0.0.1:{server}' }} }} }}\nrate: 100000/s\n"
        say(f"dead letters: {LETTERS} taken in")
        with processor(stage, folder, config) as (_, port):
            taken = rate(port, "dlq_captured_total")
        for journal in folder.glob("data/ledger*"):
            journal.unlink()
        config += (
            "queues: [{ queue: '*', mode: act, rate: 100000/s, budget: off, max_waiting: 1000000, "
            "without_workers: redrive }]\nretries: { transient: { base: 1s, cap: 1s } }\noperator_token_file: token\n"
        )
        (folder / "token").write_text(TOKEN)
        (folder / "token").chmod(0o600)
        say(f"dead letters: {LETTERS} put back")
        with processor(stage, folder, config) as (_, port):
            wait_for(f"{LETTERS} letters", lambda: counted(port, "dlq_captured_total") >= LETTERS, limit_secs=300)
            close_breaker(port)
            put_back = rate(port, "dlq_redrive_total")
        say(f"dead letters: {JOBS} jobs by a worker of BullMQ")
        failed, done = work(stage, server, "fail"), work(stage, server, "do")
    return [
        figure("dead letters taken in a second", taken, None, digits=0, at_least=10_000),
        figure("dead letters taken in (peer: BullMQ fails jobs) a second", taken, failed, digits=0, at_least=1.2),
        figure("jobs put back a second, appendfsync always", put_back, None, digits=0, at_least=8_000),
        figure("jobs put back (peer: BullMQ does jobs) a second", put_back, done, digits=0),
    ]


def beside_live_jobs(stage):
    """What dead letters that are put back, as fast as they are unless told otherwise, cost the jobs of their queue."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=stage.folder))
    (folder / "token").write_text(TOKEN)
    (folder / "token").chmod(0o600)
    with redis(folder) as server:
        fail(server)
        config = f"sources: {{ bench: {{ bullmq: {{ url: 'redis://127.0.0.1:{server}' }} }} }}\n"
        acting = config + (
            "queues: [{ queue: '*', mode: act, without_workers: redrive }]\noperator_token_file: token\n"
            "retries: { transient: { base: 1s, cap: 1s } }\n"
        )
        packages = stage.programs.parent / "e2e-node"

        def live(others=0):
            words = [str(word) for word in ["node", "-e", LIVE, packages, server, QUEUE, LIVE_JOBS, FIRST_JOBS, others]]
            return json.loads(subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT).stdout)

        # By turns: the machine is not as busy at any time.
        waits = {"alone": [], "more": [], "beside": []}
        for turn in range(LIVE_TURNS):
            say(f"dead letters: jobs beside them, turn {turn + 1} of {LIVE_TURNS}")
            waits["alone"] += live()
            waits["more"] += live(others=RATE)
            with processor(stage, folder, acting) as (_, port):
                wait_for(f"{LETTERS} letters", lambda: counted(port, "dlq_entries") >= LETTERS, limit_secs=300)
                time.sleep(SETTLE_SECS)
                close_breaker(port)
                wait_for("some to be put back", lambda: counted(port, "dlq_redrive_total") > 0, limit_secs=60)
                waits["beside"] += live()
    alone, more, beside = (percentile(waits[which], 99) for which in ["alone", "more", "beside"])
    name = f"p99 of a queue's jobs while its letters are put back, {RATE} a second at most"
    return [
        figure(f"{name} (peer: while nothing is), ms", beside, alone, at_most=1.2),
        figure(f"{name} (peer: while BullMQ itself puts in {RATE}), ms", beside, more),
    ]


def trimmed(stage):
    """A job's failure is there for a few hundredths of a second."""
    return [trimmed_by(stage, version) for version in ["bullmq-5-0", "bullmq-5-58", "bullmq-5-81", "bullmq-6"]]


def trimmed_by(stage, version):
    say(f"dead letters: {TRIMMED} thrown away by {version}")
    folder = pathlib.Path(tempfile.mkdtemp(dir=stage.folder))
    with redis(folder) as server:
        config = f"sources: {{ bench: {{ bullmq: {{ url: 'redis://127.0.0.1:{server}' }} }} }}\n"
        with processor(stage, folder, config) as (_, port):
            packages = stage.programs.parent / "e2e-node"
            words = ["node", "-e", FAILS_AND_TRIMS, packages, version, server, TRIMMED, KEPT, AT_ONCE]
            pipe = subprocess.PIPE
            worker = subprocess.Popen([str(word) for word in words], stdin=pipe, stdout=pipe, text=True, cwd=ROOT)
            taken = lambda: counted(port, "dlq_captured_total")
            wait_for("the queue to be known", lambda: taken() >= 1)
            a_second = float(worker.communicate("go\n", timeout=120)[0])
            missed = lambda: counted(port, "dlq_capture_missed_total")
            wait_for("each failure to be taken in or counted", lambda: taken() + missed() >= TRIMMED + 1)
            share = 100 * taken() / (TRIMMED + 1)
    name = f"taken in of {a_second:.0f} failures a second in {version}, {KEPT} kept, %"
    return figure(name, share, None, digits=2, at_least=99.9)


def of_large_jobs(stage):
    """What it takes to take in jobs of a megabyte, all there at once."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=stage.folder))
    with redis(folder) as server:
        fail(server, LARGE, 1_000_000)
        config = f"sources: {{ bench: {{ bullmq: {{ url: 'redis://127.0.0.1:{server}' }} }} }}\n"
        say(f"dead letters: {LARGE} of a megabyte taken in")
        with processor(stage, folder, config) as (process, port):
            wait_for("all of them", lambda: counted(port, "dlq_captured_total") >= LARGE, limit_secs=300)
            peak = memory_mib(process.pid, "VmHWM")
    return [figure(f"largest RSS while {LARGE} jobs of a megabyte are taken in, MiB", peak, None)]


def fail(server, letters=LETTERS, size=170):
    """Has jobs fail, as BullMQ 5 leaves them; unless told otherwise they hold 200 bytes."""
    now_ms = int(time.time() * 1000)
    words = [["HSET", f"bull:{QUEUE}:meta", "opts.maxLenEvents", "10000", "version", "bullmq:5.58.0"]]
    # Jobs that come later get the next numbers.
    words.append(["SET", f"bull:{QUEUE}:id", str(letters)])
    for job in range(letters):
        at_ms = str(now_ms - letters + job)
        data = json.dumps({"job": job, "text": "x" * size})
        fields = {"name": "job", "data": data, "opts": '{"attempts":1}', "timestamp": at_ms, "delay": "0"}
        fields |= {"priority": "0", "processedOn": at_ms, "finishedOn": at_ms, "failedReason": WHY, "atm": "1", "ats": "1"}
        fields["stacktrace"] = json.dumps([f"Error: {WHY}\n    at job (/srv/worker.js:1:1)"])
        words.append(["HSET", f"bull:{QUEUE}:{job}", *(word for pair in fields.items() for word in pair)])
        words.append(["ZADD", f"bull:{QUEUE}:failed", at_ms, str(job)])
    encoded = b"".join(map(command, words))
    subprocess.run(["redis-cli", "-p", str(server), "--pipe"], input=encoded, check=True, capture_output=True)


def command(words):
    """Encodes a command (redis.io, RESP)."""
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def close_breaker(port):
    """So many failures at once are a flood, which is not redriven into before somebody says that it is over."""
    wanted = {"source": "bench", "queue": QUEUE, "name": "job", "state": "closed", "reason": "nothing was down"}
    headers = {"authorization": f"Bearer {TOKEN}", "idempotency-key": "close", "content-type": "application/json"}
    address = f"http://127.0.0.1:{port}/api/v1/breakers"
    request = urllib.request.Request(address, json.dumps(wanted).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


def counted(port, name):
    lines = ask(port, "/metrics")[1].splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def rate(port, name):
    """Returns how many come a second, from the first ones to the last."""
    first, last = None, None

    def is_over():
        nonlocal first, last
        last = (time.monotonic(), counted(port, name))
        first = first or (last if last[1] > 0 else None)
        return last[1] >= LETTERS

    wait_for(f"{LETTERS} letters", is_over, limit_secs=300)
    return (last[1] - first[1]) / (last[0] - first[0])


def work(stage, server, what):
    packages = stage.programs.parent / "e2e-node"
    words = ["node", "-e", WORKER, str(packages), str(server), str(JOBS), what]
    return float(subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


def with_a_million(stage):
    folder = pathlib.Path(tempfile.mkdtemp(dir=stage.folder))
    config = f"sources: {{ bench: {{ bullmq: {{ url: 'redis://127.0.0.1:{free_port()}' }} }} }}\n"
    # The letters are old, and stay.
    config += "retention: { ended: 3650d, discarded: 3650d, waiting: 3650d }\n"
    with processor(stage, folder, config) as (_, port):
        wait_for("the ledger", lambda: ask(port, "/api/v1/letters")[0] == 200)
    say("dead letters: a ledger of a million is written")
    fill(folder / "data/ledger.db")
    questions = {
        "one page": "",
        "by state and class": "state=parked&class=malformed",
        "by queue": "queue=queue-7",
        "by queue and a state that none has": "queue=queue-7&state=parked",
        "by a state that most have": "state=resolved",
        "by a state that few have": "state=quarantined",
        "by source": "source=bench",
        "by a name that none has": "name=nobody",
        "by a word that few have": "message=number-999999",
        "by a word that none has": "message=nowhere-to-be-found",
        "by time": "failed_after=2026-01-01T00:00:00Z&failed_before=2026-01-01T01:00:00Z",
        "of one fingerprint": "fingerprint=f7",
    }
    with processor(stage, folder, config) as (process, port):
        wait_for("the ledger", lambda: ask(port, "/api/v1/letters")[0] == 200)
        taken = {what: percentile([asked(port, query) for _ in range(9)], 50) for what, query in questions.items()}
        # Once it has counted all of them.
        wait_for("the letters to be counted", lambda: counted(port, "dlq_entries") >= MILLION)
        rss = memory_mib(process.pid, "VmRSS")
    slowest = max(taken, key=taken.get)
    return [
        figure("RSS with a million letters, MiB", rss, None, at_most=64),
        figure(f"slowest filter over a million letters ({slowest}), ms", taken[slowest], None, at_most=300),
        figure("first page of a million letters, ms", taken["one page"], None),
    ]


def asked(port, query):
    began = time.perf_counter()
    status, _ = ask(port, f"/api/v1/letters?limit=50&{query}")
    if status != 200:
        raise SystemExit(f"bench: {query} was answered {status}")
    return (time.perf_counter() - began) * 1000


def fill(path):
    """Writes letters and payloads as the daemon does, in twenty queues, eight of ten of them over."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA synchronous = OFF")
    database.execute(
        """
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
        INSERT INTO letters (id, source, queue, job, failed_at_ms, name, message, attempts, stalls, fingerprint, class,
            action, reason, alarm, state, seen_at_ms, changed_at_ms, redrives, version)
        SELECT printf('%032x', n), 'bench', 'queue-' || (n % 20), n, 1767225600000 + n * 1000, 'job',
            'connect ECONNREFUSED number-' || n, 1, 0, 'f' || (n % 1000), iif(n % 10, 'transient', 'malformed'),
            iif(n % 10, 'redrive', 'park'), 'class', 'none',
            CASE WHEN n % 100000 = 0 THEN 'quarantined' WHEN n % 10 = 0 THEN 'parked' WHEN n % 10 = 1 THEN 'scheduled'
                ELSE 'resolved' END,
            1767225600000 + n * 1000, 1767225600000 + n * 1000, 0, 1
        FROM numbers
        """,
        (MILLION,),
    )
    database.execute(
        "INSERT INTO payloads (letter, data, kept) SELECT number, CAST(printf('%200d', number) AS BLOB), "
        "CAST(printf('%400d', number) AS BLOB) FROM letters"
    )
    lines = "".join(f"\n    at Job.step{line} (/srv/queue-processor/worker.js:{line}:17)" for line in range(18))
    stack = "SELECT number, message || ? FROM letters"
    database.execute(f"INSERT INTO stacks (letter, stack) {stack}", (lines,))
    database.commit()
    database.close()
    # What the disk still has to take is nothing of the daemon's.
    os.sync()
