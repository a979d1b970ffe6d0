//! An etcd that keeps v2 keys in memory: enough of its API for fleet, with expiry and waiting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A running etcd; its keys live as long as the test.
#[derive(Clone)]
pub(crate) struct Etcd {
    pub(crate) address: String,
    store: Arc<Mutex<Store>>,
    index: watch::Sender<u64>,
}

#[derive(Default)]
struct Store {
    keys: BTreeMap<String, (String, Option<Instant>)>,
    index: u64,
    /// Which key changed at which index.
    history: Vec<(u64, String)>,
    /// Whether it answers at all.
    dead: bool,
}

impl Etcd {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let etcd = Self { address, store: Arc::default(), index: watch::Sender::new(0) };
        let router = Router::new().fallback(answer).with_state(etcd.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        etcd
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Forgets everything, as an etcd does that starts on an empty directory.
    pub(crate) fn wipe(&self) {
        let mut store = self.store();
        store.keys.clear();
        store.history.clear();
        store.index = 0;
    }

    /// Stops or resumes answering; keys go on expiring.
    pub(crate) fn set_dead(&self, dead: bool) {
        self.store().dead = dead;
    }

    /// Sets a key from outside of fleet.
    pub(crate) fn put(&self, key: &str, value: &str) {
        self.store().set(key.to_owned(), value.to_owned(), None);
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        let mut store = self.store.lock().unwrap();
        store.expire();
        store
    }
}

impl Store {
    fn expire(&mut self) {
        let now = Instant::now();
        self.keys.retain(|_, (_, expires)| expires.is_none_or(|expires| expires > now));
    }

    fn changed(&mut self, key: &str) {
        self.index += 1;
        self.history.push((self.index, key.to_owned()));
    }

    fn set(&mut self, key: String, value: String, ttl: Option<Duration>) {
        self.changed(&key);
        self.keys.insert(key, (value, ttl.map(|ttl| Instant::now() + ttl)));
    }

    /// A key, or a directory with everything below it.
    fn node(&self, key: &str) -> Option<Value> {
        if let Some((value, _)) = self.keys.get(key) {
            return Some(json!({"key": key, "value": value}));
        }
        let below = format!("{key}/");
        let mut names: Vec<&str> =
            self.keys.keys().filter_map(|known| known.strip_prefix(&below)?.split('/').next()).collect();
        names.dedup();
        let nodes: Vec<Value> = names.iter().filter_map(|name| self.node(&format!("{below}{name}"))).collect();
        (!nodes.is_empty()).then(|| json!({"key": key, "dir": true, "nodes": nodes}))
    }
}

async fn answer(
    State(etcd): State<Etcd>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Response {
    let key = uri.path().strip_prefix("/v2/keys").unwrap().replace("%40", "@");
    let flag = |name: &str| query.get(name).map(String::as_str);
    if flag("wait") == Some("true") {
        return wait(&etcd, &key, flag("waitIndex").unwrap().parse().unwrap()).await;
    }
    let mut store = etcd.store();
    if store.dead {
        return refuse(300, "Raft Internal Error", "etcdserver: request timed out", store.index);
    }
    let known = store.node(&key);
    if method == Method::PUT {
        match (flag("prevExist"), &known) {
            (Some("false"), Some(_)) => {
                return refuse(105, "Key already exists", &key, store.index);
            }
            (Some("true"), None) => return refuse(100, "Key not found", &key, store.index),
            _ => {}
        }
        let value = form_urlencoded::parse(&body).find(|(name, _)| name == "value").unwrap().1.into_owned();
        store.set(key.clone(), value, flag("ttl").map(|ttl| Duration::from_secs(ttl.parse().unwrap())));
    } else if known.is_none() {
        return refuse(100, "Key not found", &key, store.index);
    } else if method == Method::DELETE {
        store.keys.retain(|known, _| *known != key && !known.starts_with(&format!("{key}/")));
        store.changed(&key);
    }
    let node = store.node(&key).or(known).unwrap_or_default();
    let index = store.index;
    drop(store);
    etcd.index.send_replace(index);
    done(&node, index)
}

/// Answers once something at or below `key` has changed at `from` or later.
async fn wait(etcd: &Etcd, key: &str, from: u64) -> Response {
    let mut index = etcd.index.subscribe();
    loop {
        {
            let store = etcd.store();
            if store.history.iter().any(|(at, changed)| *at >= from && changed.starts_with(key)) {
                return done(&json!({"key": key}), store.index);
            }
        }
        index.changed().await.unwrap();
    }
}

fn done(node: &Value, index: u64) -> Response {
    ([("x-etcd-index", index.to_string())], json!({"action": "any", "node": node}).to_string()).into_response()
}

fn refuse(code: u32, message: &str, cause: &str, index: u64) -> Response {
    let body = json!({"errorCode": code, "message": message, "cause": cause, "index": index});
    (StatusCode::BAD_REQUEST, body.to_string()).into_response()
}
