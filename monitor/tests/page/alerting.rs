//! `GET /alerts`: channels, silences, maintenance, drills and dead letters.

use monitor::alert::DeliveryState;

use crate::prepared::{Monitor, card};
use crate::told::{accepts, audit, down, fails, holds, refuses, silence, told_to, until};

#[tokio::test]
async fn without_channels_it_says_that_nobody_is_told() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    let page = monitor.get("/alerts").await;
    assert_eq!((page.status, page.header("cache-control")), (200, "no-store"));
    page.assert_has("<h1>Nobody is told: no channels are configured</h1>");
    for text in ["Nothing is silenced.", "No window is open or to come.", "No drill yet.", "Every message arrived"] {
        page.assert_has(text);
    }
}

#[tokio::test]
async fn each_channel_says_how_it_is_and_what_it_answered() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    let _workers = told_to(&monitor, vec![accepts("ops"), fails("pager", "503 Busy"), refuses("mail", "550 no")]);
    monitor.get("/alerts").await.assert_has("<h1>No alert has been sent yet</h1>");
    let id = holds(&monitor, &[down("shop", "refused")]).await[0].id;
    for (channel, state) in [("ops", DeliveryState::Sent), ("pager", DeliveryState::Due), ("mail", DeliveryState::Dead)]
    {
        until(&monitor, id, channel, state).await;
    }
    let page = monitor.get("/alerts").await;
    page.assert_has("<h1>Alerts do not reach mail</h1>");
    for text in
        ["200 OK", "503 Busy", "550 no", "</svg>works", "</svg>retrying", "</svg>failing", "made-up</span> 127.0.0.1:9"]
    {
        page.assert_has(text);
    }
    page.assert_has(&format!(r#"<a href="/incidents/{id}">shop is down: health: refused</a>"#));
}

#[tokio::test]
async fn silences_and_the_last_drill_are_shown() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    let _workers = told_to(&monitor, vec![accepts("ops")]);
    monitor.shared.alerts.silence(silence("shop"), audit()).await.unwrap();
    let id = monitor.shared.alerts.begin_drill("ada", &[], audit()).unwrap();
    let page = monitor.get("/alerts").await;
    page.assert_has("service=&#34;shop&#34;");
    page.assert_has("by ada: moving house");
    page.assert_has("1 silence in force");
    page.assert_has("</svg>under way");
    until(&monitor, id, "ops", DeliveryState::Sent).await;
    holds(&monitor, &[]).await;
    let page = monitor.get("/alerts").await;
    page.assert_has("</svg>got through");
    page.assert_has("</svg>ops</span> <span class=\"soft\">accepted</span>");
    page.assert_has("<h1>Alerts get through</h1>");
    monitor.get("/incidents").await.assert_has("</svg>drill over");
}
