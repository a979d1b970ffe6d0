//! Makes the release's secrets ready: the values that the run was given are kept, encrypted, and become versions.
//!
//! A version never changes, so keeping one early is as harmless as pushing an image: what runs goes on with the version that
//! its unit names.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use skipper_core::{
    config::Config,
    desired::{SECRETS, Scope},
    event::{EventKind, SecretOrigin},
    exit::Exit,
    failure::Failure,
    name::{EnvName, ServiceName},
    record::Records,
    release::SecretVersions,
    secret::Secret,
};

use crate::{observe::Eyes, ports::StoredSecret};

/// The values that a run was given, by the secrets' names.
pub type GivenSecrets = BTreeMap<EnvName, Secret>;

/// The versions of every service's secrets.
pub type VersionsByService = BTreeMap<ServiceName, SecretVersions>;

/// The most bytes of a value: those of an advanced parameter.
/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html>
const LONGEST: usize = 8 * 1024;

/// What is to be done about one secret.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// This version is used as it is.
    Use(u64, SecretOrigin),
    /// The value that was given becomes the next version.
    Keep(SecretOrigin),
}

/// Keeps what is new of the values that the run was given; what it was not given, the environment must have.
///
/// # Errors
/// When a secret has no value anywhere, one is too long, or the store does not answer.
pub(crate) async fn keep(
    config: &Config,
    scope: &Scope,
    given: &GivenSecrets,
    records: &Records,
    eyes: &Eyes<'_>,
) -> Result<VersionsByService, Failure> {
    let names = names(config);
    if names.is_empty() {
        return Ok(VersionsByService::new());
    }
    refuse_what_is_not_kept(&names, given)?;
    let path = folder(scope);
    let stored = stored(eyes, &path, true).await?;
    // Those that the run was not given are as little for anybody's eyes.
    eyes.events.conceal(&stored.values().filter_map(|known| known.value.clone()).collect::<Vec<_>>());
    let steps = decide(&names, given, &stored, records).map_err(|missing| nowhere(&missing, scope))?;
    let work = steps.into_iter().map(async |(name, step)| {
        let (version, origin) = match step {
            Step::Use(version, origin) => (version, origin),
            Step::Keep(origin) => (write(eyes, &path, name, given, used(records, name)).await?, origin),
        };
        eyes.events.emit(EventKind::SecretReady { name: name.clone(), version, origin });
        Ok((name.clone(), version))
    });
    let versions = join_all(work).await.into_iter().collect::<Result<_, Failure>>()?;
    Ok(by_service(config, &versions))
}

/// The versions that [`keep`] would use, as far as that can be told without seeing a value: what is kept already is taken to be
/// what will be given, as whoever plans may decrypt nothing.
///
/// # Errors
/// When the store does not answer.
pub(crate) async fn foresee(
    config: &Config,
    scope: &Scope,
    records: &Records,
    eyes: &Eyes<'_>,
) -> Result<VersionsByService, Failure> {
    let names = names(config);
    if names.is_empty() {
        return Ok(VersionsByService::new());
    }
    let stored = stored(eyes, &folder(scope), false).await?;
    let foreseen = names.into_iter().map(|name| {
        let (version, origin) = match stored.get(name.as_ref()) {
            Some(known) => (served(records, name, known.version), SecretOrigin::Stored),
            None => (1, SecretOrigin::Foreseen),
        };
        eyes.events.emit(EventKind::SecretReady { name: name.clone(), version, origin });
        (name.clone(), version)
    });
    let versions = foreseen.collect();
    Ok(by_service(config, &versions))
}

async fn stored(eyes: &Eyes<'_>, path: &str, reveal: bool) -> Result<BTreeMap<String, StoredSecret>, Failure> {
    eyes.ask("read the secrets of the environment", async || eyes.store.secrets(path, reveal).await).await
}

/// A parameter that was deleted and made again counts from 1 again. A version that was used before would be taken for what it was
/// then, by hosts and by whoever compares units, so it is written until its number is one of its own.
async fn write(eyes: &Eyes<'_>, path: &str, name: &EnvName, given: &GivenSecrets, used: u64) -> Result<u64, Failure> {
    let missing = || Failure::new(Exit::Defect, format!("secret `{name}` was to be kept and has no value"));
    let value = given.get(name).ok_or_else(missing)?;
    let path = format!("{path}/{name}");
    let what = format!("keep secret `{name}`");
    loop {
        let version = eyes.ask(&what, async || eyes.store.write_secret(&path, value).await).await?;
        if version > used {
            return Ok(version);
        }
    }
}

/// The version that the last release which served everywhere was given; what is newest where it had none, or another parameter.
fn served(records: &Records, name: &EnvName, newest: u64) -> u64 {
    let versions = records.served().next().into_iter().flat_map(|release| release.secrets.values());
    let had = versions.filter_map(|versions| versions.get(name)).max().copied();
    had.filter(|version| *version <= newest).unwrap_or(newest)
}

/// The highest version that any rollout on record was given.
fn used(records: &Records, name: &EnvName) -> u64 {
    let given = records.newest_first().flat_map(|(_, record)| record.release.secrets.values());
    given.filter_map(|versions| versions.get(name)).max().copied().unwrap_or(0)
}

/// What is to be done about each; or those that have no value.
fn decide<'a>(
    names: &BTreeSet<&'a EnvName>,
    given: &GivenSecrets,
    stored: &BTreeMap<String, StoredSecret>,
    records: &Records,
) -> Result<BTreeMap<&'a EnvName, Step>, Vec<&'a EnvName>> {
    let mut steps = BTreeMap::new();
    let mut missing = Vec::new();
    for &name in names {
        let step = match (given.get(name), stored.get(name.as_ref())) {
            (None, None) => {
                missing.push(name);
                continue;
            }
            // What serves, and not what a run has left that did not get that far.
            (None, Some(known)) => Step::Use(served(records, name, known.version), SecretOrigin::Stored),
            (Some(value), Some(known)) if known.value.as_ref() == Some(value) => {
                Step::Use(known.version, SecretOrigin::Unchanged)
            }
            (Some(_), Some(_)) => Step::Keep(SecretOrigin::Changed),
            (Some(_), None) => Step::Keep(SecretOrigin::New),
        };
        steps.insert(name, step);
    }
    if missing.is_empty() { Ok(steps) } else { Err(missing) }
}

fn nowhere(missing: &[&EnvName], scope: &Scope) -> Failure {
    let listed = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let (what, has) = if missing.len() == 1 { ("secret", "has") } else { ("secrets", "have") };
    let message = format!("{what} {listed} {has} no value: the run was given none, and `{scope}` keeps none");
    let first = missing.first().map(|name| name.as_ref()).unwrap_or_default();
    Failure::new(Exit::BadInput, message).hint(format!(
        "give the run a variable of that name; in a workflow `env: {{{first}: \"${{{{ secrets.{first} }}}}\"}}` of the step"
    ))
}

/// Before anything is written.
fn refuse_what_is_not_kept(names: &BTreeSet<&EnvName>, given: &GivenSecrets) -> Result<(), Failure> {
    // "Parameter value can't nest another parameter."
    let nests = |value: &str| value.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}"));
    if let Some((name, _)) = given.iter().find(|(name, value)| names.contains(name) && nests(value.expose())) {
        let message = format!("secret `{name}` holds double braces, which Parameter Store takes for another parameter");
        return Err(Failure::new(Exit::BadInput, message).hint("encode it, and decode it in the service"));
    }
    let long = given.iter().find(|(name, value)| names.contains(name) && value.expose().len() > LONGEST);
    let Some((name, value)) = long else { return Ok(()) };
    let message =
        format!("secret `{name}` has {} bytes, and Parameter Store keeps at most {LONGEST}", value.expose().len());
    Err(Failure::new(Exit::BadInput, message).hint("keep it elsewhere, and make what fetches it the secret"))
}

/// Every secret of every service, once.
fn names(config: &Config) -> BTreeSet<&EnvName> {
    config.services.values().flat_map(|service| &service.secrets).map(|secret| &secret.name).collect()
}

fn by_service(config: &Config, versions: &SecretVersions) -> VersionsByService {
    let with_secrets = config.services.iter().filter(|(_, service)| !service.secrets.is_empty());
    let of_service = with_secrets.map(|(service, asked)| {
        let names: BTreeSet<&EnvName> = asked.secrets.iter().map(|secret| &secret.name).collect();
        let own = versions.iter().filter(|(name, _)| names.contains(name));
        (service.clone(), own.map(|(name, version)| (name.clone(), *version)).collect())
    });
    of_service.collect()
}

fn folder(scope: &Scope) -> String {
    format!("{}/{SECRETS}", scope.path())
}
