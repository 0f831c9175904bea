//! The tables. Times are milliseconds since the epoch.

use kit::db::Tables;

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

/// Everything that this service keeps.
pub(crate) const TABLES: Tables = Tables { schema: "platform_services", steps: &[FIRST, REALMS] };
