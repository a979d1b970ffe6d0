//! The adapter against an engine in this process that misbehaves, and against the machine's own.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, response::IntoResponse};
use base64::{Engine as _, prelude::BASE64_URL_SAFE};
use http::{HeaderMap, StatusCode, Uri};
use skipper_core::{exit::Exit, image::Revision};
use tempfile::TempDir;

use super::{
    testing::{
        build_of,
        fake_registry::{Auth, FakeRegistry},
        folder_of,
    },
    *,
};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// An engine on a socket of its own, which gives one answer to every push.
struct FakeEngine {
    folder: TempDir,
    /// The credentials that came with pushes.
    credentials: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
struct Answers {
    api: &'static str,
    push: (StatusCode, String),
    credentials: Arc<Mutex<Vec<String>>>,
}

impl FakeEngine {
    fn start(api: &'static str, status: u16, push: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = tokio::net::UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let credentials = Arc::default();
        let answers = Answers {
            api,
            push: (StatusCode::from_u16(status).unwrap(), push.to_owned()),
            credentials: Arc::clone(&credentials),
        };
        let router = Router::new().fallback(answer).with_state(answers);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { folder, credentials }
    }

    async fn push(&self, password: &str) -> PortResult<Digest> {
        let engine = Engine::new(Some(format!("unix://{}", self.folder.path().join("docker.sock").display())));
        let repository = Repository::new("ghcr.io", "acme/web").unwrap();
        let logins = BTreeMap::from([("ghcr.io".to_owned(), ("me".to_owned(), Secret::new(password)))]);
        let login = Credentials::read(None, logins).unwrap().for_engine(&repository);
        push::push(engine.client().await?, &repository, &"1".parse().unwrap(), login, &mut |_| {}).await
    }
}

async fn answer(State(answers): State<Answers>, uri: Uri, headers: HeaderMap, _body: Bytes) -> impl IntoResponse {
    if uri.path().ends_with("/version") {
        return (StatusCode::OK, format!(r#"{{"Version": "20.10.24", "ApiVersion": "{}"}}"#, answers.api));
    }
    assert_eq!(uri.path_and_query().unwrap().as_str(), "/images/ghcr.io/acme/web/push?tag=1");
    let credentials = BASE64_URL_SAFE.decode(headers["x-registry-auth"].as_bytes()).unwrap();
    answers.credentials.lock().unwrap().push(String::from_utf8(credentials).unwrap());
    answers.push
}

#[tokio::test]
async fn a_push_gives_the_digest_and_sends_every_password_as_it_is() {
    let answer = format!(
        "{{\"status\":\"The push refers to repository [ghcr.io/acme/web]\"}}\r\n{{\"status\":\"Preparing\",\"id\":\"5f70bf18a086\"}}\r\n{{\"status\":\"1: digest: {DIGEST} size: 524\"}}\r\n{{\"progressDetail\":{{}},\"aux\":{{\"Tag\":\"1\",\"Digest\":\"{DIGEST}\",\"Size\":524}}}}\r\n"
    );
    let engine = FakeEngine::start("1.41", 200, &answer);
    // In some place of the password each of these makes a `+` or `/` of the other base64.
    for password in ["?", "a?", "ab?", "~>?~>?", "abc~", "a~", "ab~"] {
        assert_eq!(engine.push(password).await.unwrap().to_string(), DIGEST);
        let sent: serde_json::Value = serde_json::from_str(engine.credentials.lock().unwrap().last().unwrap()).unwrap();
        assert_eq!((&sent["username"], &sent["password"]), (&"me".into(), &password.into()));
    }
}

#[tokio::test]
async fn a_push_that_is_refused_within_the_answer_leads_to_exit_3() {
    let answer = "{\"status\":\"Preparing\"}\r\n{\"errorDetail\":{\"message\":\"denied: permission_denied: write_package\"},\"error\":\"denied\"}\r\n";
    let error = FakeEngine::start("1.41", 200, answer).push("x").await.unwrap_err();
    assert_eq!((error.kind, error.failure.exit), (PortErrorKind::Denied, Exit::Refused));
    assert_eq!(
        (error.failure.message.as_str(), &error.failure.causes[..]),
        ("push `ghcr.io/acme/web:1`", &["denied: permission_denied: write_package".to_owned()][..])
    );
}

#[tokio::test]
async fn a_push_that_fails_otherwise_leads_to_exit_4() {
    let error =
        FakeEngine::start("1.41", 500, r#"{"message": "received unexpected HTTP status: 503 Service Unavailable"}"#)
            .push("x")
            .await
            .unwrap_err();
    assert_eq!((error.kind, error.failure.exit), (PortErrorKind::Transient, Exit::BuildFailed));
    let error = FakeEngine::start("1.41", 200, "{\"status\":\"Preparing\"}\r\n").push("x").await.unwrap_err();
    assert_eq!(
        (error.kind, error.failure.causes[0].as_str()),
        (PortErrorKind::Unclear, "the engine's answer ended without the image's digest")
    );
}

#[tokio::test]
async fn an_engine_that_is_too_old_is_refused() {
    let error = FakeEngine::start("1.40", 200, "").push("x").await.unwrap_err();
    assert_eq!(
        (error.failure.exit, error.failure.causes[0].as_str()),
        (Exit::BuildFailed, "its API 1.40 is too old: 1.41 is needed, for BuildKit")
    );
}

#[tokio::test]
async fn what_the_registry_has_needs_no_engine() {
    let fake = FakeRegistry::start(Auth::None).await;
    let digest = fake.put_image("web/1", "{}");
    let docker =
        Docker::connect(Settings { host: Some("unix:///nowhere/docker.sock".to_owned()), ..Settings::default() })
            .unwrap();
    let found = docker.resolve(&fake.repository("web"), &"1".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(found.digest.to_string(), digest);
    let image = PinnedImage { repository: fake.repository("web"), digest: found.digest };
    docker.copy(&image, &"2".parse().unwrap()).await.unwrap();
    let folder = folder_of(&[("Dockerfile", "FROM scratch")]);
    let error = docker
        .build_and_push(&build_of(&folder), &fake.repository("web"), &["3".parse().unwrap()], &mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(
        (error.failure.exit, error.failure.message.as_str()),
        (Exit::BuildFailed, "find a Docker engine at `/nowhere/docker.sock`")
    );
}

/// The machine's engine, as the README's commands use it.
fn real(logins: &[(&str, &str)]) -> Docker {
    let logins = logins
        .iter()
        .map(|(registry, password)| ((*registry).to_owned(), ("me".to_owned(), Secret::new(*password))))
        .collect();
    Docker::connect(Settings { host: std::env::var("DOCKER_HOST").ok(), logins, ..Settings::default() }).unwrap()
}

async fn remove(docker: &Docker, images: &[String]) {
    for image in images {
        let _ = docker
            .engine
            .client()
            .await
            .unwrap()
            .remove_image(image, None::<bollard::query_parameters::RemoveImageOptions>, None)
            .await;
    }
}

#[tokio::test]
async fn a_commit_is_built_pushed_and_found_under_both_its_tags() {
    let fake = FakeRegistry::start(Auth::Basic).await;
    let repository = fake.repository("acme/web");
    let folder = folder_of(&[
        (
            "web/Dockerfile",
            "FROM scratch AS base\nARG GREETING\nLABEL greeting=$GREETING\nCOPY . /\nFROM base AS other\nCOPY missing /\n",
        ),
        ("hello", "world"),
        ("secret.log", ""),
        (".dockerignore", "*.log"),
    ]);
    let revision: Revision = "89abcdef0123456789abcdef0123456789abcdef".parse().unwrap();
    let build = BuildRequest {
        dockerfile: "web/Dockerfile".to_owned(),
        target: Some("base".to_owned()),
        args: BTreeMap::from([("GREETING".to_owned(), "hi there".to_owned())]),
        revision: revision.clone(),
        ..build_of(&folder)
    };
    let docker = real(&[(&fake.host, "secret")]);
    let tags = [revision.tag(), "inputs-0".parse().unwrap()];
    let mut lines = Vec::new();
    let pushed = docker.build_and_push(&build, &repository, &tags, &mut |line| lines.push(line)).await;
    remove(&docker, &tags.clone().map(|tag| format!("{repository}:{tag}"))).await;
    let digest = pushed.unwrap();
    for tag in &tags {
        let resolved = docker.resolve(&repository, tag).await.unwrap().unwrap();
        assert_eq!(resolved.digest, digest);
        assert!(resolved.age.unwrap().as_secs() < 600);
    }
    let joined = lines.join("\n");
    assert!(
        joined.contains("COPY . /") && joined.contains(&format!("pushed {}: digest: {digest}", tags[0])),
        "{joined}"
    );
    let contents = fake.contents();
    let config = contents
        .blobs
        .values()
        .filter_map(|blob| serde_json::from_slice::<serde_json::Value>(blob).ok())
        .find(|config| config["config"].is_object())
        .unwrap();
    let labels = &config["config"]["Labels"];
    assert_eq!(
        (&labels["org.opencontainers.image.revision"], &labels["greeting"]),
        (&revision.to_string().into(), &"hi there".into())
    );
}

#[tokio::test]
async fn a_login_that_may_only_read_stops_a_push_of_the_real_engine() {
    let fake = FakeRegistry::start(Auth::Basic).await;
    fake.contents().read_only = true;
    let repository = fake.repository("acme/refused");
    let folder = folder_of(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    let docker = real(&[(&fake.host, "secret")]);
    let result = docker.build_and_push(&build_of(&folder), &repository, &["1".parse().unwrap()], &mut |_| {}).await;
    remove(&docker, &[format!("{repository}:1")]).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind, error.failure.exit), (PortErrorKind::Denied, Exit::Refused), "{error:?}");
}

#[tokio::test]
async fn a_dockerfile_that_fails_names_its_step() {
    let fake = FakeRegistry::start(Auth::None).await;
    for (dockerfile, step, cause) in [
        ("FROM scratch\nCOPY missing /\n", Some("step `[1/1] COPY missing /` failed"), "missing"),
        ("FROM scratch\nCOPPY . /\n", None, "unknown instruction: COPPY"),
    ] {
        let folder = folder_of(&[("Dockerfile", dockerfile)]);
        let mut lines = Vec::new();
        let error = real(&[])
            .build_and_push(&build_of(&folder), &fake.repository("acme/broken"), &["1".parse().unwrap()], &mut |line| {
                lines.push(line)
            })
            .await
            .unwrap_err();
        assert_eq!((error.kind, error.failure.exit), (PortErrorKind::Invalid, Exit::BuildFailed));
        assert_eq!(error.failure.message, format!("build `Dockerfile` in `{}`", folder.path().display()));
        if let Some(step) = step {
            assert_eq!(error.failure.causes[0], step);
        }
        assert!(error.failure.causes.last().unwrap().contains(cause), "{:?}", error.failure.causes);
        assert!(lines.iter().any(|line| line.starts_with("#1 ")), "{lines:#?}");
    }
}

#[tokio::test]
async fn a_context_that_cannot_be_read_is_the_reason_shown() {
    let folder = folder_of(&[("Dockerfile", "FROM scratch\nCOPY . /\n"), ("a", "")]);
    fs::remove_file(folder.path().join("Dockerfile")).unwrap();
    let fake = FakeRegistry::start(Auth::None).await;
    let error = real(&[])
        .build_and_push(&build_of(&folder), &fake.repository("acme/none"), &["1".parse().unwrap()], &mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(
        (error.failure.exit, error.failure.message),
        (
            Exit::BadInput,
            format!("find the Dockerfile `Dockerfile` in the build context `{}`", folder.path().display())
        )
    );
}

#[tokio::test]
async fn an_image_is_taken_out_by_its_names_in_one_repository_and_never_while_a_container_uses_it() {
    use std::collections::BTreeSet;

    use bollard::{
        models::ContainerCreateBody,
        query_parameters::{RemoveContainerOptionsBuilder, TagImageOptionsBuilder},
    };
    use skipper_core::clean::Stocked;

    let docker = real(&[]);
    let here = format!("skipper-clean-{}", std::process::id());
    let [ours, theirs] =
        ["ours", "theirs"].map(|name| Repository::new("localhost", &format!("{here}/{name}")).unwrap());
    let (v1, v2): (Tag, Tag) = ("v1".parse().unwrap(), "v2".parse().unwrap());
    let folder = folder_of(&[("Dockerfile", "FROM scratch\nCOPY . /\n"), ("which", &here)]);
    docker.build(&build_of(&folder), &ours, &v1, &mut |_| {}).await.unwrap();
    let engine = docker.engine.client().await.unwrap();
    for (repository, tag) in [(&ours, &v2), (&theirs, &v1)] {
        let name = TagImageOptionsBuilder::new().repo(&repository.to_string()).tag(tag.as_ref()).build();
        engine.tag_image(&format!("{ours}:v1"), Some(name)).await.unwrap();
    }
    let body = ContainerCreateBody {
        image: Some(format!("{theirs}:v1")),
        cmd: Some(vec!["/none".to_owned()]),
        ..ContainerCreateBody::default()
    };
    let container =
        engine.create_container(None::<bollard::query_parameters::CreateContainerOptions>, body).await.unwrap();
    let stock = async || docker.stock(&BTreeSet::from([ours.clone()])).await.unwrap();

    let used = stock().await;
    assert_eq!((used.len(), used[0].used), (1, true));
    assert_eq!(used[0].names(), [format!("{ours}:v1"), format!("{ours}:v2")]);
    // One that has come since is seen by the engine itself, when the last name goes.
    let only = |repository: &Repository, tag: &Tag| Stocked {
        repository: repository.clone(),
        tags: BTreeSet::from([tag.clone()]),
        ..used[0].clone()
    };
    assert!(!docker.clean(&only(&ours, &v2)).await.unwrap(), "it has other names");
    assert!(!docker.clean(&only(&ours, &v1)).await.unwrap(), "it has a name elsewhere");
    let refused = docker.clean(&only(&theirs, &v1)).await.unwrap_err();
    assert_eq!((refused.kind, refused.failure.exit), (PortErrorKind::InUse, Exit::Blocked), "{refused:?}");
    let force = RemoveContainerOptionsBuilder::new().force(true).build();
    engine.remove_container(&container.id, Some(force)).await.unwrap();
    assert!(stock().await.is_empty());
    assert!(docker.clean(&only(&theirs, &v1)).await.unwrap(), "nothing is left of it");
    assert!(docker.clean(&only(&theirs, &v1)).await.unwrap(), "what is gone is no error");
}

#[tokio::test]
async fn where_there_is_no_engine_nothing_is_said_about_building() {
    let docker =
        Docker::connect(Settings { host: Some("unix:///nowhere/docker.sock".to_owned()), ..Settings::default() })
            .unwrap();
    let error = docker.stock(&[].into()).await.unwrap_err();
    assert_eq!(error.failure.exit, Exit::Blocked);
    assert_eq!(
        error.failure.hints,
        ["start the Docker engine, mount its socket at `/var/run/docker.sock`, or set `DOCKER_HOST`"]
    );
}
