//! The stand-in against its recordings, without Docker: the real binary as fleetctl, fleetds in this process,
//! etcd and systemd played by [`etcd`] and [`systemd`].
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod cluster;
mod etcd;
mod machines;
mod refusals;
mod replay;
mod systemd;
mod transcript;
