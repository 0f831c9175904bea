//! What is remembered: history of observations (cheap, may lose seconds) and state (small, loses nothing).
//!
//! Both are written by one task each, off everybody's path. A store that fails or stalls degrades to memory and is said
//! so; nothing waits for it.

mod ballast;
mod copy;
mod days;
mod figures;
mod file;
mod folder;
mod history;
mod history_writer;
mod lock;
mod points;
mod rollup;
mod seal;
mod state;
mod state_alerts;
mod state_writer;
mod store;
mod stores;

pub use copy::{backup, restore};
pub use days::VerdictDay;
pub use figures::WriterFigures;
pub use history::SqliteHistory;
pub use history_writer::{History, HistoryNews};
pub use lock::{FolderLock, LockError};
pub use points::{Mark, Point};
pub use rollup::Rollup;
pub use state::SqliteState;
pub use state_writer::{Join, State, Ticket};
pub use store::{
    AuditRow, DeliveryQuery, DeliveryRow, EventRow, HistoryStore, Horizon, IncidentQuery, IncidentRow, ServiceDay,
    StateBatch, StateStore, StoreError, Tail, Transition,
};
pub use stores::Stores;
