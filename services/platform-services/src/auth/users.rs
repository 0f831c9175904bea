//! Accounts, as rows and as answers.

use std::fmt;

use jiff::Timestamp;
use kit::db::Transaction;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::time::written;

/// An account.
#[derive(Clone, Default, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct User {
    pub(super) id: String,
    /// Lower-case.
    pub(super) email: String,
    pub(super) password_hash: String,
    pub(super) first_name: String,
    pub(super) last_name: String,
    pub(super) role: String,
    pub(super) tenant_id: Option<String>,
    pub(super) is_active: i64,
    pub(super) created_ms: i64,
    /// [`WATCHED`], or nothing.
    pub(super) realm: String,
    pub(super) email_verified: i64,
}

/// The realm of accounts that monitors make.
pub(super) const WATCHED: &str = "watch";

/// The columns of [`User`].
pub(super) const COLUMNS: &str = "users.id, users.email, users.password_hash, users.first_name, users.last_name, \
    users.role, users.tenant_id, users.is_active, users.created_ms, users.realm, \
    users.email_verified";

impl fmt::Debug for User {
    /// Without the hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("id", &self.id).finish_non_exhaustive()
    }
}

impl User {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.role == "admin"
    }

    /// What is no password for it: everybody knows it.
    pub(super) fn known(&self) -> [&str; 3] {
        [&self.email, &self.first_name, &self.last_name]
    }

    /// As clients see it.
    pub(super) fn shown(&self) -> Value {
        json!({
            "id": self.id,
            "email": self.email,
            "name": format!("{} {}", self.first_name, self.last_name).trim(),
            "first_name": self.first_name,
            "last_name": self.last_name,
            "role": self.role,
            "tenant_id": self.tenant_id,
            "is_active": self.is_active != 0,
            "email_verified": self.email_verified != 0,
            "created_at": written(self.created_ms),
        })
    }
}

/// What makes an account.
pub(super) struct NewUser<'a> {
    pub(super) email: &'a str,
    pub(super) password_hash: &'a str,
    pub(super) first_name: &'a str,
    pub(super) last_name: &'a str,
    pub(super) tenant_id: Option<&'a str>,
    pub(super) realm: &'a str,
    /// Whether it may belong to a tenant that others belong to.
    pub(super) may_join: bool,
}

/// Makes an account; none if there is one with this address. It belongs to the tenant that it names if nobody ever did, or
/// if whoever makes it may say so: nobody joins others by writing down their name.
pub(super) async fn insert(
    transaction: &mut Transaction,
    new: NewUser<'_>,
    now: Timestamp,
) -> Result<Option<User>, sqlx::Error> {
    let id = Uuid::now_v7().to_string();
    let sql = format!(
        "INSERT INTO users (id, email, password_hash, first_name, last_name, role, tenant_id, is_active, created_ms, updated_ms, realm)
         VALUES ($1, $2, $3, $4, $5, 'user', CASE WHEN $9 = 1 OR NOT EXISTS
         (SELECT 1 FROM users WHERE tenant_id = $6) THEN $6 END, 1, $7, $7, $8)
         ON CONFLICT (email) WHERE deleted_ms IS NULL DO NOTHING RETURNING {COLUMNS}"
    );
    let binds = [
        id.as_str().into(),
        new.email.into(),
        new.password_hash.into(),
        new.first_name.into(),
        new.last_name.into(),
        new.tenant_id.into(),
        now.as_millisecond().into(),
        new.realm.into(),
        i64::from(new.may_join).into(),
    ];
    lock_tenant(transaction, new.tenant_id).await?;
    transaction.row(&sql, &binds).await
}

/// Makes others wait who give an account to the same tenant: whether anybody belongs to it is asked before.
async fn lock_tenant(transaction: &mut Transaction, tenant: Option<&str>) -> Result<(), sqlx::Error> {
    match tenant {
        Some(tenant) => transaction.lock(&format!("platform-services tenant {tenant}")).await,
        None => Ok(()),
    }
}

/// Finds an account that is not deleted.
pub(super) async fn by_email(transaction: &mut Transaction, email: &str) -> Result<Option<User>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM users WHERE email = $1 AND deleted_ms IS NULL");
    transaction.row(&sql, &[email.into()]).await
}

/// Finds an account that is not deleted.
pub(super) async fn by_id(transaction: &mut Transaction, id: &str) -> Result<Option<User>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM users WHERE id = $1 AND deleted_ms IS NULL");
    transaction.row(&sql, &[id.into()]).await
}

/// What a user may be: what of it counts is for services to say, but for `admin`, who administers here too.
pub(super) const ROLES: [&str; 4] = ["user", "admin", "moderator", "readonly"];

/// Returns accounts that are not deleted, in the order they were made.
pub(super) async fn after(transaction: &mut Transaction, id: &str, limit: i64) -> Result<Vec<User>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM users WHERE id > $1 AND deleted_ms IS NULL ORDER BY id LIMIT $2");
    transaction.rows(&sql, &[id.into(), limit.into()]).await
}

/// What whoever administers changes of an account: what is missing stays.
#[derive(Debug, Deserialize)]
pub(super) struct Change {
    pub(super) role: Option<String>,
    pub(super) is_active: Option<bool>,
    pub(super) tenant_id: Option<String>,
}

/// Changes what is given; none if there is no such account.
pub(super) async fn change(
    transaction: &mut Transaction,
    id: &str,
    change: &Change,
    now: Timestamp,
) -> Result<Option<User>, sqlx::Error> {
    let sql = format!(
        "UPDATE users SET role = coalesce($1, role), is_active = coalesce($2, is_active),
         tenant_id = coalesce($3, tenant_id), updated_ms = $4 WHERE id = $5 AND deleted_ms IS NULL RETURNING {COLUMNS}"
    );
    let binds = [
        change.role.as_deref().into(),
        change.is_active.map(i64::from).into(),
        change.tenant_id.as_deref().into(),
        now.as_millisecond().into(),
        id.into(),
    ];
    lock_tenant(transaction, change.tenant_id.as_deref()).await?;
    transaction.row(&sql, &binds).await
}

/// Gives an account another name, of which what is missing stays; none if it was deleted.
pub(super) async fn rename(
    transaction: &mut Transaction,
    id: &str,
    first: Option<&str>,
    last: Option<&str>,
    now: Timestamp,
) -> Result<Option<User>, sqlx::Error> {
    let sql = format!(
        "UPDATE users SET first_name = coalesce($1, first_name), last_name = coalesce($2, last_name), updated_ms = $3
         WHERE id = $4 AND deleted_ms IS NULL RETURNING {COLUMNS}"
    );
    transaction.row(&sql, &[first.into(), last.into(), now.as_millisecond().into(), id.into()]).await
}

/// Notes that the address is the user's.
pub(super) async fn set_verified(transaction: &mut Transaction, id: &str, now: Timestamp) -> Result<(), sqlx::Error> {
    let sql = "UPDATE users SET email_verified = 1, updated_ms = $1 WHERE id = $2 AND email_verified = 0";
    transaction.change(sql, &[now.as_millisecond().into(), id.into()]).await.map(|_users| ())
}

/// Gives an account another hash, unless it has meanwhile got another than `before`.
pub(super) async fn set_hash(
    transaction: &mut Transaction,
    user: &User,
    hash: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let sql = "UPDATE users SET password_hash = $1, updated_ms = $2
        WHERE id = $3 AND password_hash = $4 AND deleted_ms IS NULL";
    let binds = [hash.into(), now.as_millisecond().into(), user.id.as_str().into(), user.password_hash.as_str().into()];
    Ok(transaction.change(sql, &binds).await? == 1)
}

/// Deletes an account, unless it is: it can no longer be used, and its address is free; what refers to it stays.
pub(super) async fn delete(transaction: &mut Transaction, id: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
    let sql = "UPDATE users SET deleted_ms = $1, updated_ms = $1, is_active = 0, password_hash = ''
        WHERE id = $2 AND deleted_ms IS NULL";
    Ok(transaction.change(sql, &[now.as_millisecond().into(), id.into()]).await? == 1)
}

/// Holds an account as it was when its password was verified; returns whether it still is so.
pub(super) async fn hold(transaction: &mut Transaction, user: &User) -> Result<bool, sqlx::Error> {
    let sql = "SELECT id FROM users WHERE id = $1 AND password_hash = $2 AND is_active = 1 AND deleted_ms IS NULL {for_update}";
    let binds = [user.id.as_str().into(), user.password_hash.as_str().into()];
    Ok(transaction.row::<(String,)>(sql, &binds).await?.is_some())
}

/// Returns whether there is an account of a monitor with this id.
pub(crate) async fn is_watched(transaction: &mut Transaction, id: &str) -> Result<bool, sqlx::Error> {
    let sql = "SELECT id FROM users WHERE id = $1 AND realm = $2";
    Ok(transaction.row::<(String,)>(sql, &[id.into(), WATCHED.into()]).await?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    impl NewUser<'_> {
        /// Somebody.
        pub(in crate::auth) fn ada() -> Self {
            Self {
                email: "ada@example.com",
                password_hash: "",
                first_name: "Ada",
                last_name: "Noel",
                tenant_id: None,
                realm: "",
                may_join: false,
            }
        }
    }
}
