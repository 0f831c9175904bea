//! Runs on the board: what begins, what ends, and what is known of it.

use std::sync::Arc;

use uuid::Uuid;

use crate::judge::board::Board;
use crate::judge::board::tests::{at, board, ended, feed, observation, spec, started};
use crate::judge::verdict::Verdict;
use crate::probe::CheckId;
use crate::supervise::{Event, Rest, Who};

#[test]
fn three_unplanned_exits_in_ten_minutes_are_a_crash_loop_and_planned_ones_are_not() {
    for (planned, verdict) in [(false, Verdict::CrashLooping), (true, Verdict::Starting)] {
        let mut board = board(vec![spec("shop", &[], Some(600))]);
        for turn in 0..3 {
            board.runtime(&started("shop", at(turn * 30)), at(turn * 30));
            board.runtime(&ended("shop", at(turn * 30), at(turn * 30 + 10), planned), at(turn * 30 + 10));
        }
        board.runtime(&started("shop", at(100)), at(100));
        assert_eq!(board.service("shop").unwrap().verdict, verdict, "planned: {planned}");
    }
}

#[test]
fn a_new_version_is_remembered_with_the_one_before_and_the_first_run_that_works_is_news_for_the_ledger() {
    let mut board = board(vec![spec("web", &[], Some(30))]);
    board.runtime(&started("web", at(0)), at(0));
    let mut news = Vec::new();
    for (turn, version) in [(1, None), (2, Some("1.4")), (3, Some("1.4")), (4, Some("1.5")), (5, None)] {
        let id = CheckId::new("web", "web");
        let mut seen = (*observation(&id, '.', at(turn))).clone();
        seen.seen.version = version.map(str::to_owned);
        let sequence = board.next_sequence();
        let effects = board.observe(Arc::new(seen), sequence, at(turn));
        news.extend(effects.changed_ledgers.iter().map(|service| format!("{service}@{turn}")));
    }
    assert_eq!(news, ["web@1"]);
    let change = board.check(&CheckId::new("web", "web")).unwrap().version.changed.clone().unwrap();
    assert_eq!((change.from.as_str(), change.to.as_str(), change.at), ("1.4", "1.5", at(4).at));
    assert!(board.service("web").unwrap().workload.as_ref().unwrap().ledger.last().unwrap().worked);
}

#[test]
fn whom_somebody_restarts_may_take_its_whole_grace_and_what_is_gone_says_so() {
    let mut board = board(vec![spec("shop", &[], Some(60))]);
    board.runtime(&started("shop", at(0)), at(0));
    feed(&mut board, "shop", ".", 1);
    let mut restarted = ended("shop", at(0), at(20), false);
    if let Event::Ended { by, .. } = &mut restarted {
        *by = Who::Anonymous;
    }
    board.runtime(&restarted, at(20));
    board.runtime(&started("shop", at(21)), at(21));
    assert_eq!(feed(&mut board, "shop", "xxx", 22), Vec::<String>::new());
    assert_eq!(board.service("shop").unwrap().verdict, Verdict::Starting);
    let why = Some("Unit shop.service is masked.".to_owned());
    board.runtime(&Event::Resting { service: "shop".to_owned(), rest: Rest::Gone, why }, at(60));
    assert_eq!(board.service("shop").unwrap().verdict, Verdict::Gone);
    assert_eq!(
        board.service("shop").unwrap().why,
        "its workload does not exist any more: Unit shop.service is masked."
    );
}

#[test]
fn an_end_that_nobody_told_is_one_that_is_written_down() {
    let mut board = board(vec![spec("shop", &[], Some(60))]);
    assert_eq!(board.runtime(&started("shop", at(1)), at(1)).ended, Vec::<Arc<str>>::new());
    let another = board.runtime(&started("shop", at(9)), at(9));
    assert_eq!(another.ended, [Arc::from("shop")], "with the lines that it left, which are none");
    assert_eq!(board.service("shop").unwrap().workload.as_ref().unwrap().ledger.assess(at(9).at).exits_10m, 1);
    let told = board.runtime(&ended("shop", at(9), at(12), true), at(12));
    assert_eq!(told.ended.len(), 1);
    assert_eq!(board.runtime(&started("shop", at(13)), at(13)).ended, Vec::<Arc<str>>::new());
}

#[test]
fn what_is_found_running_is_new_only_after_an_end_that_was_told() {
    let mut board = board(vec![spec("shop", &[], Some(60))]);
    let found = |run: i64| match started("shop", at(run)) {
        Event::Started { service, run, pid, by, stamp, .. } => {
            Event::Started { service, run, pid, by, stamp, adopted: true }
        }
        event => event,
    };
    let started_at = |board: &Board| board.service("shop").unwrap().workload.as_ref().unwrap().started_at;
    board.runtime(&found(1), at(2));
    assert_eq!(started_at(&board), 0, "it may be older than any cursor");
    let cursor = board.sequence();
    board.runtime(&ended("shop", at(1), at(8), true), at(8));
    board.runtime(&found(9), at(10));
    assert!(started_at(&board) > cursor);
    let cursor = board.sequence();
    board.runtime(&found(9), at(12));
    assert!(started_at(&board) < cursor, "it is the same run");
}

#[test]
fn the_program_of_a_run_that_is_found_again_is_known() {
    let mut board = board(vec![spec("shop", &[], Some(60))]);
    board.runtime(&started("shop", at(1)), at(1));
    let run = Uuid::from_u128(1000);
    board.runtime(&Event::Identified { service: "shop".to_owned(), run, digest: "abc".to_owned() }, at(1));
    let digest = |board: &Board| board.service("shop").unwrap().workload.as_ref().unwrap().digest.clone();
    assert_eq!(digest(&board).as_deref(), Some("abc"));
    let Event::Started { service, pid, by, stamp, .. } = started("shop", at(1)) else { unreachable!() };
    board.runtime(&Event::Started { service, run, pid, by, stamp, adopted: true }, at(5));
    assert_eq!(digest(&board).as_deref(), Some("abc"));
    board.runtime(&started("shop", at(9)), at(9));
    assert_eq!(digest(&board), None, "of another run it is not known yet");
}
