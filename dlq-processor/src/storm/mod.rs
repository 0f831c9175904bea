//! What keeps many redrives from becoming a storm: rates, and breakers for what goes on failing. Pure; time comes in.

mod breaker;
mod bucket;
mod flood;
mod pressure;
mod throttle;

pub use breaker::{Breaker, BreakerState};
pub use bucket::Bucket;
pub use flood::Flood;
pub use pressure::{Limits, Load, Pressure};
pub use throttle::Throttle;
