//! What several do at once: one transaction is open when another comes. PostgreSQL alone has more than one writer.

use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use kit::db::{Database, Source, Transaction};
use testkit::{Postgres, eventually};

use super::lockout::{Who, begin_try, take_back};
use super::second_factor;
use super::users::{self, Change, NewUser, User};
use crate::tables::TABLES;

/// Far longer than anything on loopback takes.
const LIMIT: Duration = Duration::from_secs(60);

struct Race {
    postgres: Postgres,
    database: Database,
}

impl Race {
    async fn start() -> Self {
        let postgres = Postgres::start().await;
        let database = Database::open(&Source::parse(&postgres.url()).unwrap(), &TABLES, 2).await.unwrap();
        Self { postgres, database }
    }

    async fn begin(&self) -> Transaction {
        self.database.begin().await.unwrap()
    }

    /// Runs `late`, and commits `early` once it is waited for; or after `late`, which waits for nobody.
    async fn run<T>(&self, early: Transaction, late: impl Future<Output = T>) -> T {
        let mut late = pin!(late);
        let is_waited_for = eventually("somebody to wait", LIMIT, async || {
            (self.postgres.sql("SELECT count(*) FROM pg_locks WHERE NOT granted") != "0").then_some(())
        });
        let done = tokio::select! {
            done = &mut late => Some(done),
            () = is_waited_for => None,
        };
        early.commit().await.unwrap();
        match done {
            Some(done) => done,
            None => late.await,
        }
    }
}

/// An account, and a second factor of it that is begun.
async fn account(race: &Race) -> User {
    let mut transaction = race.begin().await;
    let user = users::insert(&mut transaction, NewUser::ada(), Timestamp::now()).await.unwrap().unwrap();
    second_factor::keep(&mut transaction, &user.id, "", Timestamp::now()).await.unwrap();
    transaction.commit().await.unwrap();
    user
}

#[tokio::test]
async fn a_second_factor_that_is_forgotten_while_it_is_turned_on_leaves_no_code_behind() {
    let race = Race::start().await;
    let user = account(&race).await;
    let mut enabling = race.begin().await;
    let id = [user.id.as_str().into()];
    enabling.change("UPDATE second_factors SET enabled_ms = 1 WHERE user_id = $1", &id).await.unwrap();
    enabling.change("INSERT INTO recovery_codes (digest, user_id) VALUES ('x', $1)", &id).await.unwrap();
    let forgotten = async {
        let mut transaction = race.begin().await;
        second_factor::forget(&mut transaction, &user.id).await.unwrap();
        transaction.commit().await.unwrap();
    };
    race.run(enabling, forgotten).await;
    assert_eq!(race.postgres.sql("SELECT count(*) FROM platform_services.second_factors"), "0");
    assert_eq!(race.postgres.sql("SELECT count(*) FROM platform_services.recovery_codes"), "0");
}

/// A login holds the account and then its second factor; what turns that on holds it the other way round.
#[tokio::test]
async fn whoever_holds_an_account_keeps_nobody_from_adding_to_it() {
    let race = Race::start().await;
    let user = account(&race).await;
    let mut login = race.begin().await;
    assert!(users::hold(&mut login, &user).await.unwrap());
    let mut enabling = race.begin().await;
    let id = [user.id.as_str().into()];
    enabling.change("INSERT INTO recovery_codes (digest, user_id) VALUES ('x', $1)", &id).await.unwrap();
    enabling.commit().await.unwrap();
    login.commit().await.unwrap();
}

#[tokio::test]
async fn nobody_joins_a_tenant_that_another_is_just_given_to() {
    let race = Race::start().await;
    let user = account(&race).await;
    let mut giving = race.begin().await;
    let change = Change { role: None, is_active: None, tenant_id: Some("acme".to_owned()) };
    users::change(&mut giving, &user.id, &change, Timestamp::now()).await.unwrap();
    let registered = async {
        let mut transaction = race.begin().await;
        let new = NewUser { email: "eve@example.com", tenant_id: Some("acme"), ..NewUser::ada() };
        users::insert(&mut transaction, new, Timestamp::now()).await.unwrap().unwrap()
    };
    assert_eq!(race.run(giving, registered).await.tenant_id, None);
}

#[tokio::test]
async fn who_changes_one_part_of_a_name_leaves_the_other_as_it_is_by_then() {
    let race = Race::start().await;
    let user = account(&race).await;
    let mut first = race.begin().await;
    users::rename(&mut first, &user.id, Some("Augusta"), None, Timestamp::now()).await.unwrap();
    let last = async {
        let mut transaction = race.begin().await;
        users::rename(&mut transaction, &user.id, None, Some("Lovelace"), Timestamp::now()).await.unwrap().unwrap()
    };
    let user = race.run(first, last).await;
    assert_eq!((&*user.first_name, &*user.last_name), ("Augusta", "Lovelace"));
}

#[tokio::test]
async fn a_try_that_is_taken_back_while_another_is_counted_is_not_lost() {
    let (race, who) = (Race::start().await, Who::Account("ada@example.com"));
    let mut transaction = race.begin().await;
    for _failed in 0..3 {
        begin_try(&mut transaction, who).await.unwrap();
    }
    transaction.commit().await.unwrap();
    let mut early = race.begin().await;
    take_back(&mut early, who).await.unwrap();
    let counted = async {
        let mut transaction = race.begin().await;
        begin_try(&mut transaction, who).await.unwrap();
        transaction.commit().await.unwrap();
    };
    race.run(early, counted).await;
    let failures = race.postgres.sql("SELECT failures FROM platform_services.tries");
    assert_eq!(failures, "3", "three, less one, and one more");
}
