//! Who asks, for which repository, and whether they may.

use std::collections::HashMap;
use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::header::{AUTHORIZATION, HOST, USER_AGENT};
use axum::http::request::Parts;

use super::refusal::Refusal;
use super::seed::{Access, Scope};
use super::server::Shared;
use super::world::{Repository, Token, World};

/// A request that passed authentication.
pub(super) struct Caller {
    token: Option<Token>,
    parameters: HashMap<String, String>,
    /// The address by which the caller knows this GitHub: links in answers begin with it.
    pub(super) origin: String,
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Refusal> {
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        if header(USER_AGENT).is_none_or(str::is_empty) {
            return Err(Refusal::NoUserAgent);
        }
        let origin = format!("http://{}", header(HOST).unwrap_or("localhost"));
        let token = match header(AUTHORIZATION) {
            None => None,
            Some(credentials) => {
                let token = ["Bearer ", "bearer ", "token "]
                    .iter()
                    .find_map(|scheme| credentials.strip_prefix(scheme))
                    .and_then(|token| shared.world().tokens.get(token).cloned());
                Some(token.ok_or(Refusal::BadCredentials)?)
            }
        };
        let parameters = RawPathParams::from_request_parts(parts, shared)
            .await
            .map_err(|_| Refusal::NotFound)?
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Ok(Self { token, parameters, origin })
    }
}

impl Caller {
    /// The part of the path that the route calls `name`.
    pub(super) fn parameter<T: FromStr>(&self, name: &str) -> Result<T, Refusal> {
        self.parameters.get(name).and_then(|value| value.parse().ok()).ok_or(Refusal::NotFound)
    }

    /// Who asks, or the refusal of those who did not say.
    pub(super) fn token(&self) -> Result<&Token, Refusal> {
        self.token.as_ref().ok_or(Refusal::RequiresAuthentication)
    }

    /// The repository of the path, where the caller may do to it what `access` says in any of `scopes`.
    pub(super) fn repository<'world>(
        &self,
        world: &'world World,
        scopes: &'static [Scope],
        access: Access,
    ) -> Result<&'world Repository, Refusal> {
        let wanted = |repository: &&Repository| match self.parameters.get("repository_id") {
            Some(id) => *id == repository.id.to_string(),
            None => {
                let part = |name| self.parameters.get(name).map_or("", String::as_str);
                // Names are case-insensitive on GitHub.
                repository.name.eq_ignore_ascii_case(&format!("{}/{}", part("owner"), part("repository")))
            }
        };
        let repository = world.repositories.iter().find(wanted).ok_or(Refusal::NotFound)?;
        let granted = self.token.as_ref().filter(|token| token.repositories.contains(&repository.name));
        if repository.private && granted.is_none() {
            return Err(Refusal::NotFound);
        }
        if access == Access::Read && !repository.private {
            return Ok(repository);
        }
        let token = self.token()?;
        let permitted = granted.is_some_and(|token| {
            scopes.iter().any(|scope| token.permissions.get(scope).is_some_and(|held| *held >= access))
        });
        if permitted {
            Ok(repository)
        } else {
            Err(Refusal::NotAccessible { installation: token.is_installation(), scopes, access })
        }
    }
}
