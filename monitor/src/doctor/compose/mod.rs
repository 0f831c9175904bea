//! A Docker Compose project: read as Compose v2 reads it, then decoded into what the rules ask about.
//!
//! * `load` reads files (`include`, `extends`, merging), each as `read` does, with `variables` (`.env`, `${VAR:-x}`) and `merge`.
//! * `project` is what comes out; `service` decodes one service, `ports` and `health` its difficult parts.
//! * `images` is what is known of an image without looking into it, `dockerfile` what a build adds to that.
//! * `mount` and `mounted` are what services mount from beside it; `scrape`, `datasource` and `init_script` read among that the
//!   configuration of Prometheus, what Grafana is given, and what a database runs first.
//!
//! Unknown keys are no mistakes here: Compose itself refuses those.

mod datasource;
mod dockerfile;
mod health;
mod images;
mod init_script;
mod load;
mod merge;
mod mount;
mod mounted;
mod ports;
mod project;
mod read;
mod scrape;
mod service;
mod variables;

pub use datasource::DataSource;
pub use health::{Health, Test};
pub(super) use images::split as image_tag;
pub use images::{ImageFacts, Kind};
pub use init_script::{InitTrouble, Trouble};
pub use load::{Request, load};
pub use mount::Mount;
pub use mounted::Mounted;
pub use ports::Port;
pub use project::{Network, Project, Unset};
pub(super) use read::read_bounded;
pub use scrape::{Scrape, ScrapeTarget};
pub(super) use service::items;
pub use service::{Dependency, Located, Service, Variable};
