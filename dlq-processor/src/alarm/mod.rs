//! Tells the monitor of what people must know: letters that wait for somebody (`letters`), one alert for all failures that are
//! alike, until none of them waits; and what keeps letters from being taken in and redriven (`conditions`, each about a
//! `subject`). Of whom was told what the ledger remembers, so that nothing is forgotten when this process ends (`tell`, round by round: `teller`); what the client does not take is counted (`untold`).

mod conditions;
mod fullness;
mod lately;
mod letters;
mod subject;
mod tell;
mod teller;
mod untold;
mod waiting;
mod wrong;

pub(crate) use conditions::Facts;
pub(crate) use fullness::LedgerFacts;
pub(crate) use tell::Alarm;
pub(crate) use waiting::WaitingFacts;
