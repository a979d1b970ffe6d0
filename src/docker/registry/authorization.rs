//! What a registry asks for before it answers, and what it is given. Compiled by itself for fuzzing, too.
//!
//! <https://distribution.github.io/distribution/spec/auth/token/>

use http::HeaderValue;
use serde::Deserialize;
use skipper_core::secret::Secret;
use url::Url;

/// How a registry wants to be spoken to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With the user name and password in each request.
    Basic,
    /// With a token that this service gives out.
    Bearer { realm: Url, service: Option<String> },
}

impl Challenge {
    /// Reads `WWW-Authenticate` headers; the first challenge of a known kind counts.
    pub(super) fn of<'a>(headers: impl Iterator<Item = &'a HeaderValue>) -> Option<Self> {
        headers.filter_map(|header| header.to_str().ok()).find_map(|header| {
            http_auth::parse_challenges(header).ok()?.iter().find_map(|challenge| {
                let parameter = |wanted: &str| {
                    challenge
                        .params
                        .iter()
                        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                        .map(|(_, value)| value.to_unescaped())
                };
                match challenge.scheme {
                    scheme if scheme.eq_ignore_ascii_case("basic") => Some(Self::Basic),
                    scheme if scheme.eq_ignore_ascii_case("bearer") => {
                        let realm: Url = parameter("realm")?.parse().ok()?;
                        // Anything else cannot be asked, now or later.
                        let is_web = matches!(realm.scheme(), "http" | "https");
                        is_web.then(|| Self::Bearer { realm, service: parameter("service") })
                    }
                    _ => None,
                }
            })
        })
    }
}

/// A token service's answer; both names are in use.
#[derive(Deserialize)]
pub(super) struct TokenReply {
    token: Option<String>,
    access_token: Option<String>,
}

impl TokenReply {
    /// The `Authorization` header that the token makes.
    pub(super) fn into_authorization(self) -> Option<Secret> {
        let token = self.token.or(self.access_token).filter(|token| !token.is_empty())?;
        Some(Secret::new(format!("Bearer {token}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &'static str) -> Option<Challenge> {
        Challenge::of([HeaderValue::from_static(header)].iter())
    }

    #[test]
    fn challenges_of_known_registries_are_understood() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.parse().unwrap(), service: service.map(str::to_owned) })
        };
        assert_eq!(of("Basic realm=\"Registry Realm\""), Some(Challenge::Basic));
        assert_eq!(
            of(
                "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:a/b:pull\",error=\"invalid_token\""
            ),
            bearer("https://auth.docker.io/token", Some("registry.docker.io"))
        );
        assert_eq!(of("bearer Realm=\"https://ghcr.io/token\""), bearer("https://ghcr.io/token", None));
        assert_eq!(of("Negotiate, Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(of("Bearer realm=\"not a url\""), None);
        assert_eq!(of("Bearer realm=\"file:///etc/passwd\""), None);
    }
}
