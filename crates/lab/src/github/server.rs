//! GitHub running: in a thread of this process for tests, or as this process's whole work.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use axum::Router;
use tokio::sync::oneshot;

use super::fault::Fault;
use super::seed::Seed;
use super::world::{Comment, Dump, World};
use super::{control, identity, routes};

/// What all handlers share.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<World>>);

impl Shared {
    /// Exclusive use of the world. No handler awaits while it holds this.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        // A panicking handler is a failed request, and no reason to fail all that follow.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A GitHub in this process; gone when dropped.
#[derive(Debug)]
pub struct GitHub {
    address: SocketAddr,
    shared: Shared,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl GitHub {
    /// Starts an empty one on `address`; port 0 picks a free port. It runs on a thread of its own, so that
    /// blocking and asynchronous tests alike can use it.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn start(address: &str) -> Result<Self> {
        let listener = listen(address)?;
        let address = listener.local_addr().context("reading the address listened on")?;
        let shared = Shared::default();
        let router = router(shared.clone(), None);
        let runtime = runtime()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = accept(listener, router) => {}
                    _ = stopped => {}
                }
            });
            // Requests that were left hanging end here too.
            runtime.shutdown_background();
        });
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// What to give as `GITHUB_API_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the runner gives a job as `ACTIONS_ID_TOKEN_REQUEST_URL`.
    #[must_use]
    pub fn id_token_url(&self) -> String {
        identity::id_token_url(&self.url())
    }

    /// Puts things in.
    pub fn seed(&self, seeds: impl IntoIterator<Item = Seed>) {
        let mut world = self.shared.world();
        seeds.into_iter().for_each(|seed| world.seed(seed));
    }

    /// Lets `fault` meet the requests it matches, after those set before it.
    pub fn fault(&self, fault: Fault) {
        self.shared.world().faults.push(fault);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.shared.world().faults.clear();
    }

    /// Everything that requests have left behind so far.
    #[must_use]
    pub fn dump(&self) -> Dump {
        self.shared.world().dump()
    }

    /// The comments on one issue or pull request, oldest first.
    #[must_use]
    pub fn comments(&self, repository: &str, number: u64) -> Vec<Comment> {
        self.dump().comments_on(repository, number)
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself; then there is nobody left to tell.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves GitHub on `address` until the process is told to end, and the files below `files` under `/fleet/`.
///
/// # Errors
/// When the address cannot be listened on, or accepting connections fails.
pub fn serve(address: &str, files: Option<PathBuf>) -> Result<()> {
    let listener = listen(address)?;
    let router = router(Shared::default(), files);
    runtime()?.block_on(async {
        // As PID 1 of its container it would ignore the signals that end other processes.
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .context("watching for SIGTERM")?;
        tokio::select! {
            ended = accept(listener, router) => ended,
            _ = terminate.recv() => Ok(()),
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}

fn listen(address: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("listening on `{address}`"))?;
    listener.set_nonblocking(true).context("making the listener non-blocking")?;
    Ok(listener)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting an asynchronous runtime")
}

fn router(shared: Shared, files: Option<PathBuf>) -> Router {
    routes::api(shared.clone()).merge(identity::routes(shared.clone())).merge(control::lab(shared, files))
}

async fn accept(listener: TcpListener, router: Router) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).context("handing over the listener")?;
    axum::serve(listener, router).await.context("serving GitHub")
}
