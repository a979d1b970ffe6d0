//! The registry client against a registry in this process.

use std::{
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

use skipper_core::{
    exit::Exit,
    image::{Digest, Tag},
    secret::Secret,
};
use skipper_deploy::ports::PortErrorKind;

use super::*;
use crate::docker::testing::fake_registry::{Auth, FakeRegistry, Fault, INDEX, MANIFEST};

const AGELESS: &str = r#"{"architecture": "amd64"}"#;

fn client(fake: &FakeRegistry, password: Option<&str>) -> Registry {
    let logins = password.map(|password| (fake.host.clone(), ("me".to_owned(), Secret::new(password))));
    let credentials = Credentials::read(None, logins.into_iter().collect()).unwrap();
    Registry::with_pace(Rc::new(credentials), BTreeMap::new(), QUICK).unwrap()
}

/// As patient as the real one, in another time.
const QUICK: Pace = Pace {
    silence: Duration::from_millis(300),
    answer: Duration::from_millis(900),
    tries: Duration::from_millis(1_500),
    first_pause: Duration::from_millis(10),
    longest_pause: Duration::from_secs(1),
};

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

async fn resolve(fake: &FakeRegistry, password: Option<&str>) -> PortResult<Option<Resolved>> {
    client(fake, password).resolve(&fake.repository("acme/web"), &tag("1")).await
}

fn config_made(ago: Duration, label: Option<&str>) -> String {
    let created = jiff::Timestamp::now() - ago;
    let labels =
        label.map(|label| format!(r#", "config": {{"Labels": {{"{CREATED_LABEL}": "{label}"}}}}"#)).unwrap_or_default();
    format!(r#"{{"created": "{created}"{labels}}}"#)
}

fn hours(resolved: Option<Resolved>) -> Option<u64> {
    resolved.unwrap().age.map(|age| age.as_secs() / 3600)
}

#[tokio::test]
async fn a_tag_is_resolved_with_a_token_that_is_fetched_once() {
    let fake = FakeRegistry::start(Auth::Token { anonymous: false }).await;
    let digest = fake.put_image("acme/web/1", &config_made(Duration::from_secs(7200), None));
    let registry = client(&fake, Some("secret"));
    let resolved = registry.resolve(&fake.repository("acme/web"), &tag("1")).await.unwrap().unwrap();
    assert_eq!(resolved.digest.to_string(), digest);
    assert_eq!(hours(Some(resolved)), Some(2));
    registry.resolve(&fake.repository("acme/web"), &tag("1")).await.unwrap().unwrap();
    let requests = fake.contents().requests.clone();
    assert_eq!(requests.iter().filter(|request| request.contains("/token")).count(), 1, "{requests:#?}");
    assert!(requests[1].contains("scope=repository%3Aacme%2Fweb%3Apull&"), "{}", requests[1]);
    assert_eq!(requests.len(), 6);
}

#[tokio::test]
async fn an_expired_token_is_fetched_anew() {
    let fake = FakeRegistry::start(Auth::Token { anonymous: true }).await;
    fake.put_image("acme/web/1", AGELESS);
    let registry = client(&fake, None);
    assert!(registry.resolve(&fake.repository("acme/web"), &tag("1")).await.unwrap().is_some());
    fake.contents().token += 1;
    assert!(registry.resolve(&fake.repository("acme/web"), &tag("1")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_login_is_sent_only_when_it_is_asked_for() {
    let fake = FakeRegistry::start(Auth::Basic).await;
    fake.put_image("acme/web/1", AGELESS);
    assert!(resolve(&fake, Some("secret")).await.unwrap().is_some());
    let open = FakeRegistry::start(Auth::None).await;
    open.put_image("acme/web/1", AGELESS);
    assert!(resolve(&open, Some("wrong")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_refused_or_missing_login_leads_to_exit_3_and_never_shows_the_password() {
    for auth in [Auth::Basic, Auth::Token { anonymous: false }] {
        let fake = FakeRegistry::start(auth).await;
        fake.put_image("acme/web/1", AGELESS);
        let refused = resolve(&fake, Some("hunter2")).await.unwrap_err();
        assert_eq!((refused.kind, refused.failure.exit), (PortErrorKind::Denied, Exit::Refused));
        assert_eq!(refused.failure.causes, ["the registry refuses the login of user `me`"]);
        assert!(!refused.failure.hints.is_empty() && !format!("{refused:?}").contains("hunter2"));
        let missing = resolve(&fake, None).await.unwrap_err();
        assert_eq!(missing.failure.causes, ["the registry wants a login, and there is none for it"]);
        assert_eq!(missing.failure.message, format!("failed to look up `{}/acme/web:1` in the registry", fake.host));
    }
}

#[tokio::test]
async fn a_forbidden_repository_is_refused_in_the_registrys_words() {
    let fake = FakeRegistry::start(Auth::None).await;
    fake.contents()
        .faults
        .push_back(Fault::Status(403, r#"{"errors": [{"code": "DENIED", "message": "no \u001b[31mread:packages"}]}"#));
    let error = resolve(&fake, None).await.unwrap_err();
    assert_eq!((error.kind, error.failure.exit), (PortErrorKind::Denied, Exit::Refused));
    assert_eq!(error.failure.causes, ["the registry answered 403 Forbidden", "DENIED: no read:packages"]);
}

#[tokio::test]
async fn a_tag_that_is_not_there_is_no_error() {
    let fake = FakeRegistry::start(Auth::None).await;
    assert_eq!(resolve(&fake, None).await.unwrap(), None);
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_after_the_pause_it_asks_for() {
    let fake = FakeRegistry::start(Auth::None).await;
    fake.put_image("acme/web/1", AGELESS);
    fake.contents().faults.extend([Fault::Busy(429, "0"), Fault::Busy(503, "1")]);
    let started = Instant::now();
    assert!(resolve(&fake, None).await.unwrap().is_some());
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_pause_that_is_too_long_is_left_to_the_caller() {
    let fake = FakeRegistry::start(Auth::None).await;
    fake.contents().faults.push_back(Fault::Busy(429, "3600"));
    let error = resolve(&fake, None).await.unwrap_err();
    assert_eq!((error.kind, error.failure.exit), (PortErrorKind::Transient, Exit::BuildFailed));
    assert_eq!(
        error.failure.causes,
        ["the registry answered 429 Too Many Requests and asks to wait 3600 s", "TOOMANYREQUESTS: slow down"]
    );
    assert!(error.failure.hints[0].contains("log in"), "{:?}", error.failure.hints);
    assert_eq!(fake.contents().requests.len(), 1);
}

#[tokio::test]
async fn a_registry_that_stays_busy_is_given_up() {
    let fake = FakeRegistry::start(Auth::None).await;
    fake.contents().faults.extend(std::iter::repeat_n(Fault::Busy(502, "0"), 10));
    let error = resolve(&fake, None).await.unwrap_err();
    assert_eq!((error.kind, error.failure.exit), (PortErrorKind::Transient, Exit::BuildFailed));
    assert_eq!(error.failure.hints, [format!("run again when `{}` is well again", fake.host)]);
    assert_eq!(fake.contents().requests.len(), 5);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_the_whole() {
    let fake = FakeRegistry::start(Auth::None).await;
    fake.put_image("acme/web/1", AGELESS);
    fake.contents().faults.push_back(Fault::Truncated);
    assert!(resolve(&fake, None).await.unwrap().is_some());
    fake.contents().faults.extend(std::iter::repeat_n(Fault::Truncated, 10));
    let error = resolve(&fake, None).await.unwrap_err();
    assert_eq!(
        (error.kind, error.failure.causes[0].as_str()),
        (PortErrorKind::Transient, "no answer from the registry")
    );
}

#[tokio::test]
async fn a_registry_that_is_slow_is_waited_for_within_a_bound_that_is_told() {
    for fault in [Fault::Silent, Fault::Dripping] {
        let fake = FakeRegistry::start(Auth::None).await;
        fake.contents().faults.extend(std::iter::repeat_n(fault.clone(), 10));
        let error = resolve(&fake, None).await.unwrap_err();
        let tries = fake.contents().requests.len();
        assert!((2..=5).contains(&tries), "{fault:?}: the time is up before the {tries} tries are");
        assert_eq!((error.kind, error.failure.exit), (PortErrorKind::Transient, Exit::BuildFailed));
        assert_eq!(error.failure.message, format!("failed to look up `{}/acme/web:1` in the registry", fake.host));
        assert_eq!(error.failure.causes, ["the registry does not answer within 0.3 s"], "{fault:?}");
        assert!(error.failure.hints[0].contains(&fake.host));
    }
}

#[tokio::test]
async fn a_registry_that_resets_connections_is_tried_again_and_its_last_word_shown() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    // What is closed with something unread in it is reset.
    std::thread::spawn(move || listener.incoming().for_each(|stream| drop(stream.map(|stream| stream.peek(&mut [0])))));
    let repository = skipper_core::image::Repository::new(&host, "acme/web").unwrap();
    let registry = Registry::with_pace(Rc::default(), BTreeMap::new(), QUICK).unwrap();
    let error = registry.resolve(&repository, &tag("1")).await.unwrap_err();
    assert_eq!((error.kind, error.failure.exit), (PortErrorKind::Transient, Exit::BuildFailed));
    assert_eq!(error.failure.causes[0], "no answer from the registry");
    assert!(error.failure.causes[1].to_lowercase().contains("connection"), "{:?}", error.failure.causes);
    assert_eq!(error.failure.causes.len(), 2);
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_worth_another_try() {
    let fake = FakeRegistry::start(Auth::None).await;
    let repository = fake.repository("acme/web");
    let registry = client(&fake, None);
    drop(fake);
    // The server ends with its task, which is aborted but may not be gone yet.
    tokio::task::yield_now().await;
    assert_eq!(registry.resolve(&repository, &tag("1")).await.unwrap_err().kind, PortErrorKind::Transient);
}

#[tokio::test]
async fn the_digest_is_that_of_the_bytes_whatever_the_registry_says() {
    let fake = FakeRegistry::start(Auth::None).await;
    let digest = fake.put_image("acme/web/1", AGELESS);
    fake.contents().claimed_digest = Some(String::new());
    assert_eq!(resolve(&fake, None).await.unwrap().unwrap().digest.to_string(), digest);
    let claimed = format!("sha256:{}", "0".repeat(64));
    fake.contents().claimed_digest = Some(claimed.clone());
    let error = resolve(&fake, None).await.unwrap_err();
    assert_eq!(
        error.failure.causes,
        [format!("the registry names the digest `{claimed}`, but what it sent has `{digest}`")]
    );
}

#[tokio::test]
async fn what_is_no_image_is_refused() {
    let fake = FakeRegistry::start(Auth::None).await;
    fake.contents().put_manifest("acme/web/1", "text/html", b"<html>sign in</html>".to_vec());
    let error = resolve(&fake, None).await.unwrap_err();
    assert_eq!(error.failure.causes, ["the registry answered with `text/html`, which is no image manifest of today"]);
    fake.contents().put_manifest("acme/web/1", MANIFEST, vec![b' '; 5 * 1024 * 1024]);
    assert_eq!(resolve(&fake, None).await.unwrap_err().failure.causes, ["the answer is larger than 4194304 bytes"]);
}

#[tokio::test]
async fn an_images_age_is_its_labels_then_its_configurations_and_for_an_index_its_first_images() {
    let fake = FakeRegistry::start(Auth::None).await;
    let three_hours = (jiff::Timestamp::now() - Duration::from_secs(3 * 3600 + 60)).to_string();
    let days = Duration::from_secs(9 * 24 * 3600);
    let image = fake.put_image("acme/web/1", &config_made(days, Some(&three_hours)));
    assert_eq!(hours(resolve(&fake, None).await.unwrap()), Some(3));
    let index = format!(r#"{{"manifests": [{{"digest": "{image}"}}, {{"digest": "sha256:{}"}}]}}"#, "0".repeat(64));
    let index = fake.contents().put_manifest("acme/web/1", INDEX, index.into_bytes());
    let resolved = resolve(&fake, None).await.unwrap().unwrap();
    assert_eq!((resolved.digest.to_string(), hours(Some(resolved))), (index, Some(3)));
    fake.put_image("acme/web/1", &config_made(days, Some("yesterday")));
    assert_eq!(hours(resolve(&fake, None).await.unwrap()), Some(9 * 24));
    fake.put_image("acme/web/1", AGELESS);
    assert_eq!(hours(resolve(&fake, None).await.unwrap()), None, "it does not say");
    fake.put_image("acme/web/1", r#"{"created": "2999-01-01T00:00:00Z"}"#);
    assert_eq!(hours(resolve(&fake, None).await.unwrap()), Some(0), "a clock that is ahead makes nothing older");
}

#[tokio::test]
async fn an_image_gets_another_tag_by_the_same_bytes() {
    let fake = FakeRegistry::start(Auth::Token { anonymous: false }).await;
    let digest: Digest = fake.put_image("acme/web/inputs-0", AGELESS).parse().unwrap();
    let image = PinnedImage { repository: fake.repository("acme/web"), digest: digest.clone() };
    let registry = client(&fake, Some("secret"));
    registry.copy(&image, &tag("abc")).await.unwrap();
    assert_eq!(registry.resolve(&image.repository, &tag("abc")).await.unwrap().unwrap().digest, digest);
    assert_eq!(fake.contents().manifests["acme/web/abc"].0, MANIFEST);
    assert!(fake.contents().requests.iter().any(|request| request.contains("pull%2Cpush")));
}

#[tokio::test]
async fn an_image_that_is_gone_is_not_tagged() {
    let fake = FakeRegistry::start(Auth::None).await;
    let digest: Digest = fake.put_image("acme/web/1", AGELESS).parse().unwrap();
    let image = PinnedImage { repository: fake.repository("acme/other"), digest };
    let error = client(&fake, None).copy(&image, &tag("2")).await.unwrap_err();
    assert_eq!(
        (error.kind, error.failure.causes.as_slice()),
        (PortErrorKind::Missing, &["the registry does not have this image".to_owned()][..])
    );
}

#[tokio::test]
async fn what_an_image_runs_on_is_told_by_its_index_else_by_its_configuration() {
    let fake = FakeRegistry::start(Auth::None).await;
    let platforms = async || resolve(&fake, None).await.unwrap().unwrap().platforms.into_iter().collect::<Vec<_>>();
    let image = fake.put_image("acme/web/1", r#"{"os": "linux", "architecture": "arm64"}"#);
    assert_eq!(platforms().await, ["linux/arm64"]);
    fake.put_image("acme/web/1", AGELESS);
    assert_eq!(platforms().await, [""; 0], "it does not say");
    let of = |os: &str, architecture: &str| {
        format!(r#"{{"digest": "{image}", "platform": {{"os": "{os}", "architecture": "{architecture}"}}}}"#)
    };
    let images = [of("unknown", "unknown"), of("windows", "amd64"), of("linux", "arm64")].join(", ");
    fake.contents().put_manifest("acme/web/1", INDEX, format!(r#"{{"manifests": [{images}]}}"#).into_bytes());
    assert_eq!(platforms().await, ["linux/arm64", "windows/amd64"]);
}

#[tokio::test]
async fn an_image_of_which_the_registry_lost_a_part_is_missing() {
    let fake = FakeRegistry::start(Auth::None).await;
    let image = fake.put_image("acme/web/1", AGELESS);
    fake.contents().blobs.clear();
    let error = resolve(&fake, None).await.unwrap_err();
    assert_eq!((error.kind, error.failure.exit), (PortErrorKind::Missing, Exit::BuildFailed));
    assert!(error.failure.causes[0].starts_with("the registry has lost `sha256:"), "{:?}", error.failure.causes);
    let refusal = r#"{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry"}]}"#;
    let image = PinnedImage { repository: fake.repository("acme/web"), digest: image.parse().unwrap() };
    fake.contents().faults.extend([Fault::None, Fault::Status(404, refusal)]);
    let error = client(&fake, None).copy(&image, &tag("2")).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Missing);
    assert_eq!(
        error.failure.causes,
        ["the registry answered 404 Not Found", "MANIFEST_BLOB_UNKNOWN: blob unknown to registry"]
    );
}

#[tokio::test]
async fn whether_a_push_is_allowed_is_found_out_without_one() {
    let fake = FakeRegistry::start(Auth::Token { anonymous: false }).await;
    let registry = client(&fake, Some("secret"));
    registry.try_push(&fake.repository("acme/web")).await.unwrap();
    let asked: Vec<String> =
        fake.contents().requests.iter().filter(|request| !request.contains("/token")).cloned().collect();
    let last = asked.last().unwrap();
    assert!(last.starts_with("DELETE /v2/acme/web/blobs/uploads/"), "{asked:?}");
    assert!(fake.contents().uploads.is_empty() && fake.contents().manifests.is_empty());

    fake.contents().read_only = true;
    let refused = registry.try_push(&fake.repository("acme/web")).await.unwrap_err();
    assert_eq!((refused.kind, refused.failure.exit), (PortErrorKind::Denied, Exit::Refused));
    assert!(refused.failure.causes.iter().any(|cause| cause.contains("write_package")), "{refused:?}");
}
