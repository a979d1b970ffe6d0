//! The host scripts as a host runs them: real text, a real shell, and small fakes of the commands they call, each with the
//! traps of the real one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
#![expect(clippy::disallowed_methods, reason = "a host is a folder here, and its shell a process")]

mod checkup;
mod clean;
mod command;
mod configure;
mod damage;
mod etcd;
mod fence;
mod host;
mod link;
mod logs;
mod observe;
mod registry;
mod remove_and_pull;
mod secrets;
mod sharing;
mod start;
