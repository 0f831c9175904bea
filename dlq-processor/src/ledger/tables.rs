//! The ledger's tables, step by step.

use kit::db::Tables;

/// Of what is known by its number others hold on to, so rows are never numbered again.
const FIRST: &str = "
CREATE TABLE letters (
    number {counter},
    id TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    queue TEXT NOT NULL,
    job TEXT NOT NULL,
    failed_at_ms {int} NOT NULL,
    name TEXT NOT NULL,
    data {bytes} NOT NULL,
    kept {bytes} NOT NULL,
    message TEXT NOT NULL,
    error_class TEXT,
    error_code TEXT,
    http {int},
    stack TEXT,
    attempts {int} NOT NULL,
    stalls {int} NOT NULL,
    put_in_at_ms {int},
    fingerprint TEXT NOT NULL,
    class TEXT NOT NULL,
    rule TEXT,
    action TEXT NOT NULL,
    reason TEXT NOT NULL,
    alarm TEXT NOT NULL,
    state TEXT NOT NULL,
    seen_at_ms {int} NOT NULL,
    due_at_ms {int},
    changed_at_ms {int} NOT NULL,
    redrive TEXT,
    redrives {int} NOT NULL,
    has_all_tries {int} NOT NULL DEFAULT 0,
    version {int} NOT NULL
) {strict};
CREATE INDEX letters_due ON letters (state, due_at_ms);
CREATE INDEX letters_job ON letters (source, queue, job);
CREATE INDEX letters_listed ON letters (queue, state, number);
CREATE INDEX letters_alike ON letters (fingerprint, state, number);
CREATE TABLE fingerprints (
    fingerprint TEXT PRIMARY KEY,
    queue TEXT NOT NULL,
    name TEXT NOT NULL,
    class TEXT NOT NULL,
    message TEXT NOT NULL,
    first_seen_at_ms {int} NOT NULL,
    last_seen_at_ms {int} NOT NULL,
    count {int} NOT NULL
) {strict};
CREATE TABLE audit (
    number {counter},
    at_ms {int} NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    letter TEXT,
    why TEXT NOT NULL,
    act_key TEXT UNIQUE
) {strict};
CREATE TABLE told (fingerprint TEXT PRIMARY KEY) {strict};
CREATE INDEX audit_letter ON audit (letter, number);
";

/// Payloads apart, so that nobody reads past them who wants none; until when a letter is redriven unasked; and the order that
/// letters are redriven in.
const SECOND: &str = "
CREATE TABLE payloads (
    letter {int} PRIMARY KEY,
    data {bytes} NOT NULL,
    kept {bytes} NOT NULL
) {strict};
INSERT INTO payloads (letter, data, kept) SELECT number, data, kept FROM letters;
ALTER TABLE letters DROP COLUMN data;
ALTER TABLE letters DROP COLUMN kept;
ALTER TABLE letters ADD COLUMN until_ms {int};
ALTER TABLE letters ADD COLUMN order_value TEXT;
ALTER TABLE letters ADD COLUMN waits_for_stuck {int} NOT NULL DEFAULT 0;
CREATE INDEX letters_ordered ON letters (source, queue, order_value, number) WHERE order_value IS NOT NULL;
";

/// Who may act.
const THIRD: &str = "
CREATE TABLE lease (
    one {int} PRIMARY KEY CHECK (one = 1),
    owner TEXT NOT NULL,
    epoch {int} NOT NULL,
    until_ms {int} NOT NULL
) {strict};
";

/// Plans for many letters.
const FOURTH: &str = "
CREATE TABLE plans (
    number {counter},
    id TEXT NOT NULL UNIQUE,
    at_ms {int} NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    act TEXT NOT NULL,
    filter TEXT NOT NULL,
    rate_milli {int},
    stop_percent {int},
    state TEXT NOT NULL,
    total {int} NOT NULL,
    hash TEXT NOT NULL
) {strict};
CREATE TABLE plan_letters (
    plan {int} NOT NULL,
    position {int} NOT NULL,
    letter {int} NOT NULL,
    version {int} NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (plan, position)
) {strict};
CREATE INDEX plan_letters_state ON plan_letters (plan, state, position);
CREATE INDEX plan_letters_letter ON plan_letters (letter, plan);
ALTER TABLE letters ADD COLUMN plan {int};
CREATE INDEX letters_plan ON letters (plan, state) WHERE plan IS NOT NULL;
";

/// Where what a letter holds was put, if it is not here any more.
const FIFTH: &str = "
ALTER TABLE letters ADD COLUMN cold TEXT;
CREATE INDEX letters_changed ON letters (state, changed_at_ms);
";

/// How far queues were heard.
const SIXTH: &str = "
CREATE TABLE heard (
    source TEXT NOT NULL,
    queue TEXT NOT NULL,
    place TEXT NOT NULL,
    PRIMARY KEY (source, queue)
) {strict};
";

/// The spans that put jobs in.
const SEVENTH: &str = "ALTER TABLE letters ADD COLUMN traceparent TEXT;";

/// What was last put into lists of a letter whose source has some: the state that it had then.
const EIGHTH: &str = "
ALTER TABLE letters ADD COLUMN listed TEXT;
CREATE INDEX letters_unlisted ON letters (source, changed_at_ms, number) WHERE listed <> state AND state IN
    ('parked', 'quarantined', 'escalated', 'uncertain', 'discarded', 'resolved', 'withdrawn', 'expired');
";

/// In which other queue a failure was told of, and under which other id its job was put back.
const NINTH: &str = "
ALTER TABLE letters ADD COLUMN found_in TEXT;
ALTER TABLE letters ADD COLUMN new_job TEXT;
CREATE INDEX letters_told ON letters (source, queue, job) WHERE found_in IS NOT NULL;
";

/// Which other queue letters go to, and what their jobs hold instead of what they held.
const TENTH: &str = "
ALTER TABLE letters ADD COLUMN to_queue TEXT;
ALTER TABLE letters ADD COLUMN edited_at_ms {int};
CREATE TABLE edits (
    letter {int} PRIMARY KEY,
    at_ms {int} NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    patch TEXT NOT NULL,
    data {bytes} NOT NULL
) {strict};
";

/// What is due, what is followed, and what is to go are found without a look at any other letter, and cost those nothing; all are
/// counted without being read.
const ELEVENTH: &str = "
DROP INDEX letters_due;
CREATE INDEX letters_due ON letters (source, due_at_ms) WHERE state = 'scheduled';
CREATE INDEX letters_under_way ON letters (source, number) WHERE state = 'redriven';
DROP INDEX letters_changed;
CREATE INDEX letters_ended ON letters (changed_at_ms)
    WHERE state IN ('resolved', 'recurred', 'withdrawn', 'discarded');
CREATE INDEX letters_left ON letters (changed_at_ms) WHERE state IN ('observed', 'parked', 'escalated', 'uncertain');
CREATE INDEX letters_counted ON letters (state, class, seen_at_ms);
";

/// Stack traces apart: they are longer than all the rest, which is read and written at each change of state. What changes with the
/// state is in no index of what does not.
const TWELFTH: &str = "
CREATE TABLE stacks (
    letter {int} PRIMARY KEY,
    stack TEXT NOT NULL
) {strict};
INSERT INTO stacks (letter, stack) SELECT number, stack FROM letters WHERE stack IS NOT NULL;
ALTER TABLE letters DROP COLUMN stack;
DROP INDEX letters_listed;
CREATE INDEX letters_listed ON letters (queue, number);
DROP INDEX letters_alike;
CREATE INDEX letters_alike ON letters (fingerprint, number);
CREATE INDEX letters_waiting ON letters (fingerprint, number)
    WHERE state IN ('parked', 'quarantined', 'escalated', 'uncertain') AND alarm <> 'none';
";

/// How many letters a plan may have, and where they go.
const THIRTEENTH: &str = "
ALTER TABLE plans ADD COLUMN max_letters {int};
ALTER TABLE plans ADD COLUMN to_queue TEXT;
";

/// As what somebody was told: another service or severity is another alert for whoever hears of it.
const FOURTEENTH: &str = "
ALTER TABLE told ADD COLUMN service TEXT;
ALTER TABLE told ADD COLUMN severity TEXT;
";

/// What is due is found lane by lane (`due.rs`): of those that nothing may go to no letter is read, however many wait.
const FIFTEENTH: &str = concat!(
    "DROP INDEX letters_due;
    CREATE INDEX letters_due ON letters (source, ",
    super::due::lane!(),
    ", due_at_ms) WHERE state = 'scheduled';"
);

/// Canaries of letters that are alike and parked for what they are (`flock.rs`), which are found without a look at any other letter.
const SIXTEENTH: &str = "
CREATE TABLE canaries (
    source TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    class TEXT NOT NULL,
    queue TEXT NOT NULL,
    name TEXT NOT NULL,
    tried {int} NOT NULL,
    passed {int} NOT NULL,
    next_at_ms {int} NOT NULL,
    changed_at_ms {int} NOT NULL,
    canary TEXT,
    passed_by TEXT,
    release_before_ms {int},
    PRIMARY KEY (source, fingerprint, class)
) {strict};
CREATE INDEX letters_flocks ON letters (source, class, fingerprint, number) WHERE state = 'parked' AND reason = 'class';
";

/// What was redriven in vain unasked is counted without a look at any other letter.
const SEVENTEENTH: &str = "
CREATE INDEX letters_in_vain ON letters (source, changed_at_ms, queue, fingerprint)
    WHERE state = 'recurred' AND has_all_tries = 0 AND redrive IS NOT NULL;
";

/// Letters whose time is over are found without a look at those that still have some.
const EIGHTEENTH: &str = "
CREATE INDEX letters_until ON letters (source, until_ms) WHERE state = 'scheduled' AND has_all_tries = 0;
";

/// The version that these make.
pub(crate) const VERSION: usize = TABLES.steps.len();

/// All of them.
pub(super) const TABLES: Tables = Tables {
    schema: "dlq_processor",
    steps: &[
        FIRST,
        SECOND,
        THIRD,
        FOURTH,
        FIFTH,
        SIXTH,
        SEVENTH,
        EIGHTH,
        NINTH,
        TENTH,
        ELEVENTH,
        TWELFTH,
        THIRTEENTH,
        FOURTEENTH,
        FIFTEENTH,
        SIXTEENTH,
        SEVENTEENTH,
        EIGHTEENTH,
    ],
    // A hundred thousand letters were put back at 8,598 and 10,284 a second, and with what SQLite itself keeps at 7,275, 8,178 and
    // 8,172 (the bench's part `dead-letters`).
    cache_kib: 16 << 10,
};
