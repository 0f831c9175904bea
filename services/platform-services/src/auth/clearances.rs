//! What is over in the tables of sign-in.

use crate::clearance::Clearance;
use crate::time::DAY_MS;

/// How long it is kept what happened in sign-in, and which keys there were.
const KEPT_DAYS: i64 = 90;

/// A session without a token cannot go on. Of people's accounts something is kept for ever; monitors make and delete some
/// each minute.
pub(crate) const CLEARANCES: [Clearance; 7] = [
    Clearance {
        sql: "DELETE FROM refresh_tokens WHERE digest IN
            (SELECT digest FROM refresh_tokens WHERE expires_ms < $1 {some})",
        age_ms: 0,
    },
    Clearance {
        sql: "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE created_ms < $1 AND NOT EXISTS
            (SELECT 1 FROM refresh_tokens WHERE refresh_tokens.session_id = sessions.id) {some})",
        age_ms: 0,
    },
    Clearance {
        sql: "DELETE FROM mailed_tokens WHERE digest IN
            (SELECT digest FROM mailed_tokens WHERE expires_ms < $1 {some})",
        age_ms: 0,
    },
    Clearance {
        sql: "DELETE FROM tries WHERE who IN (SELECT who FROM tries WHERE last_ms < $1 {some})",
        age_ms: DAY_MS,
    },
    Clearance {
        sql: "DELETE FROM auth_events WHERE number IN (SELECT number FROM auth_events WHERE at_ms < $1 {some})",
        age_ms: KEPT_DAYS * DAY_MS,
    },
    Clearance {
        sql: "DELETE FROM api_keys WHERE id IN
            (SELECT id FROM api_keys WHERE revoked_ms < $1 OR expires_ms < $1 {some})",
        age_ms: KEPT_DAYS * DAY_MS,
    },
    Clearance {
        sql: "DELETE FROM users WHERE id IN (SELECT id FROM users WHERE deleted_ms < $1 AND realm = 'watch'
            AND NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.user_id = users.id)
            AND NOT EXISTS (SELECT 1 FROM mailed_tokens WHERE mailed_tokens.user_id = users.id)
            AND NOT EXISTS (SELECT 1 FROM second_factors WHERE second_factors.user_id = users.id)
            AND NOT EXISTS (SELECT 1 FROM recovery_codes WHERE recovery_codes.user_id = users.id) {some})",
        age_ms: DAY_MS,
    },
];
