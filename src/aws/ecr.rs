//! Logins to registries of ECR, which AWS gives for twelve hours to whoever may ask.

use aws_config::Region;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use skipper_core::{iam::EcrRegistry, secret::Secret};
use skipper_deploy::ports::{Login, PortError, PortErrorKind, PortResult};

use super::{Aws, error::Asked};

impl Aws {
    /// The login to a registry, with the credentials of this run. What it opens there is what they may do.
    ///
    /// # Errors
    /// When the credentials may not ask, and as AWS answers.
    pub async fn registry_login(&self, registry: &EcrRegistry) -> PortResult<Login> {
        // A registry belongs to one region, whichever the hosts are in.
        let config = aws_sdk_ecr::config::Builder::from(&self.config)
            .region(Region::new(registry.region.clone()))
            .interceptor(self.calls.clone())
            .build();
        let asked = Asked::reads(&registry.region, "ecr:GetAuthorizationToken", "a login to its registries".to_owned());
        let answer = aws_sdk_ecr::Client::from_conf(config).get_authorization_token().send().await;
        let answer = answer.map_err(|error| asked.failed(&error))?;
        let token = answer.authorization_data().first().and_then(|data| data.authorization_token());
        token.and_then(read).ok_or_else(|| PortError::new(PortErrorKind::Other, "ECR answered without a login"))
    }
}

/// User name and password, with a colon between them, in base64.
fn read(token: &str) -> Option<Login> {
    let text = String::from_utf8(BASE64_STANDARD.decode(token).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Login { username: username.to_owned(), password: Secret::new(password) })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::aws::wire::{aws, ssm_error};

    fn registry() -> EcrRegistry {
        EcrRegistry::of("123456789012.dkr.ecr.eu-west-1.amazonaws.com").unwrap()
    }

    #[tokio::test]
    async fn a_login_is_asked_for_in_the_registry_s_own_region() {
        let token = BASE64_STANDARD.encode("AWS:canary:password");
        let answer = json!({ "authorizationData": [{ "authorizationToken": token, "expiresAt": 1_790_000_000 }] });
        let (aws, wire) = aws([(200, answer.to_string())]).await;
        let login = aws.registry_login(&registry()).await.unwrap();
        assert_eq!((login.username.as_str(), login.password.expose()), ("AWS", "canary:password"));
        assert!(!format!("{login:?}").contains("canary"));
        assert_eq!((wire.actions(), wire.json(0)), (vec!["GetAuthorizationToken".to_owned()], json!({})));
        assert_eq!(wire.host(0), "api.ecr.eu-west-1.amazonaws.com");
    }

    #[tokio::test]
    async fn whoever_may_not_ask_is_told_the_permission() {
        let (aws, _) = aws([ssm_error(400, "AccessDeniedException", "User: x is not authorized")]).await;
        let error = aws.registry_login(&registry()).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Denied);
        assert!(error.failure.message.contains("ecr:GetAuthorizationToken"), "{error:?}");
    }

    #[tokio::test]
    async fn an_answer_without_a_login_is_none() {
        let (aws, _) = aws([(200, json!({ "authorizationData": [] }).to_string())]).await;
        assert_eq!(aws.registry_login(&registry()).await.unwrap_err().failure.message, "ECR answered without a login");
    }
}
