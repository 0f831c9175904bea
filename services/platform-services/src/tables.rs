//! The tables. Times are milliseconds since the epoch.

use kit::db::{CACHE_KIB, Tables};

const FIRST: &str = "
CREATE TABLE users (
    id TEXT PRIMARY KEY, email TEXT NOT NULL, password_hash TEXT NOT NULL, first_name TEXT NOT NULL,
    last_name TEXT NOT NULL, role TEXT NOT NULL, tenant_id TEXT, is_active {int} NOT NULL,
    created_ms {int} NOT NULL, updated_ms {int} NOT NULL, deleted_ms {int}) {strict};
CREATE UNIQUE INDEX users_by_email ON users (email) WHERE deleted_ms IS NULL;

CREATE TABLE sessions (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id), created_ms {int} NOT NULL,
    ended_ms {int}, ended_by TEXT) {strict};
CREATE INDEX sessions_by_user ON sessions (user_id) WHERE ended_ms IS NULL;

CREATE TABLE refresh_tokens (
    digest TEXT PRIMARY KEY, session_id TEXT NOT NULL REFERENCES sessions (id), expires_ms {int} NOT NULL,
    used_ms {int}) {strict};
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_ms);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

CREATE TABLE looks (id {int} PRIMARY KEY, at_ms {int} NOT NULL) {strict};

CREATE TABLE tries (who TEXT PRIMARY KEY, failures {int} NOT NULL, last_ms {int} NOT NULL) {strict};
CREATE INDEX tries_by_time ON tries (last_ms);

CREATE TABLE auth_events (
    number {counter}, at_ms {int} NOT NULL, kind TEXT NOT NULL, user_id TEXT, email TEXT, address TEXT) {strict};
CREATE INDEX auth_events_by_time ON auth_events (at_ms);
";

/// Accounts that monitors make are of a realm of their own.
const REALMS: &str = "
ALTER TABLE users ADD COLUMN realm TEXT NOT NULL DEFAULT '';
ALTER TABLE auth_events ADD COLUMN realm TEXT NOT NULL DEFAULT '';
";

/// Analytics. What is asked for of all events together is counted by the hour and by the day, in rows of their own: counting
/// a million events takes longer than anybody waits. The event type `''` is every event; the user `''` is everybody, also whoever
/// has no name.
const ANALYTICS: &str = "
CREATE TABLE analytics_events (
    id {counter}, at_ms {int} NOT NULL, event_type TEXT NOT NULL, event_data TEXT NOT NULL, user_id TEXT,
    session_id TEXT) {strict};
CREATE INDEX analytics_events_by_time ON analytics_events (at_ms, id);
CREATE INDEX analytics_events_by_type ON analytics_events (event_type, at_ms, id);
CREATE INDEX analytics_events_by_user ON analytics_events (user_id, at_ms, id, event_type) WHERE user_id IS NOT NULL;

CREATE TABLE analytics_metrics (
    id {counter}, at_ms {int} NOT NULL, metric_name TEXT NOT NULL, metric_value TEXT NOT NULL,
    metric_type TEXT NOT NULL, user_id TEXT, service_name TEXT, endpoint TEXT, labels TEXT NOT NULL) {strict};
CREATE INDEX analytics_metrics_by_time ON analytics_metrics (at_ms, id);
CREATE INDEX analytics_metrics_by_name ON analytics_metrics (metric_name, at_ms, id, service_name, user_id);
CREATE INDEX analytics_metrics_by_service ON analytics_metrics (service_name, at_ms, id, user_id)
    WHERE service_name IS NOT NULL;
CREATE INDEX analytics_metrics_by_user ON analytics_metrics (user_id, at_ms, id) WHERE user_id IS NOT NULL;

CREATE TABLE analytics_usage (
    user_id TEXT NOT NULL, day_ms {int} NOT NULL, calls {int} NOT NULL, tokens {int} NOT NULL,
    cost_micros {int} NOT NULL, PRIMARY KEY (user_id, day_ms)) {strict};
CREATE INDEX analytics_usage_by_day ON analytics_usage (day_ms);
CREATE INDEX analytics_usage_by_cost ON analytics_usage (user_id, day_ms, cost_micros) WHERE cost_micros > 0;

CREATE TABLE analytics_hours (
    event_type TEXT NOT NULL, hour_ms {int} NOT NULL, events {int} NOT NULL, calls {int} NOT NULL,
    tokens {int} NOT NULL, cost_micros {int} NOT NULL, PRIMARY KEY (event_type, hour_ms)) {strict};
CREATE INDEX analytics_hours_by_time ON analytics_hours (hour_ms);

CREATE TABLE analytics_endpoints (
    hour_ms {int} NOT NULL, endpoint TEXT NOT NULL, mentions {int} NOT NULL,
    PRIMARY KEY (hour_ms, endpoint)) {strict};

CREATE TABLE analytics_users (user_id TEXT PRIMARY KEY, last_ms {int} NOT NULL) {strict};
CREATE INDEX analytics_users_by_time ON analytics_users (last_ms);
";

/// Keys that sign, and keys of services; who did something to somebody else's account.
const KEYS: &str = "
CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY, algorithm TEXT NOT NULL, sealed TEXT NOT NULL, created_ms {int} NOT NULL) {strict};

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL, scopes TEXT NOT NULL, created_ms {int} NOT NULL,
    expires_ms {int}, revoked_ms {int}, used_ms {int}) {strict};
CREATE UNIQUE INDEX api_keys_by_digest ON api_keys (digest);

ALTER TABLE auth_events ADD COLUMN actor TEXT;
ALTER TABLE auth_events ADD COLUMN detail TEXT;
";

/// How far events have been handed on.
const RELAYS: &str = "
CREATE TABLE relays (name TEXT PRIMARY KEY, number {int} NOT NULL) {strict};
";

/// What people see of their sessions; links that were sent by mail; the second factor. Of links and recovery codes only
/// digests are kept.
const PROOFS: &str = "
ALTER TABLE sessions ADD COLUMN used_ms {int};
ALTER TABLE sessions ADD COLUMN address TEXT;
ALTER TABLE sessions ADD COLUMN user_agent TEXT;

ALTER TABLE users ADD COLUMN email_verified {int} NOT NULL DEFAULT 0;

CREATE TABLE mailed_tokens (
    digest TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id), purpose TEXT NOT NULL,
    expires_ms {int} NOT NULL, used_ms {int}) {strict};
CREATE INDEX mailed_tokens_by_end ON mailed_tokens (expires_ms);
CREATE INDEX mailed_tokens_by_user ON mailed_tokens (user_id, purpose);

CREATE TABLE second_factors (
    user_id TEXT PRIMARY KEY REFERENCES users (id), sealed TEXT NOT NULL, created_ms {int} NOT NULL,
    enabled_ms {int}, used_step {int} NOT NULL) {strict};

CREATE TABLE recovery_codes (
    digest TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id), used_ms {int}) {strict};
CREATE INDEX recovery_codes_by_user ON recovery_codes (user_id);
";

/// Who belongs together is looked up at each registration that names a tenant.
const TENANTS: &str = "
CREATE INDEX users_by_tenant ON users (tenant_id) WHERE tenant_id IS NOT NULL;
";

/// A row of an account that is removed is looked for in all that refers to accounts, also in sessions that have ended.
const REMOVALS: &str = "
DROP INDEX sessions_by_user;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX users_by_deletion ON users (deleted_ms) WHERE deleted_ms IS NOT NULL;
";

/// Everything that this service keeps.
pub(crate) const TABLES: Tables = Tables {
    schema: "platform_services",
    steps: &[FIRST, REALMS, ANALYTICS, KEYS, RELAYS, PROOFS, TENANTS, REMOVALS],
    cache_kib: CACHE_KIB,
};

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
