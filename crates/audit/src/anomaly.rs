//! Anomaly detection (audit §7): what is counted, which rules open an alert, and what becomes of one.

pub mod action;
pub mod backtest;
pub mod evidence;
pub mod incident;
pub mod rules;
pub mod travel;
pub mod window;

pub use action::AlertAction;
pub use backtest::{Backtest, NotFromTrail, Would};
pub use evidence::Observed;
pub use incident::{Incident, Resolution, Status};
pub use rules::{AlertRule, Counting, Rule, Severity};
pub use window::Window;
