//! Opens a session on a host, for the program that Systems Manager's users have for that.

use aws_sdk_ssm::error::ProvideErrorMetadata;
use serde_json::json;
use skipper_core::{observed::InstanceId, secret::Secret};
use skipper_deploy::ports::{PortErrorKind, PortResult};

use super::RunCommand;
use crate::aws::error::Asked;

/// Who may open sessions is decided apart from who may deploy: whoever has a shell on a host can do everything there.
const SESSION_HINT: &str = "the roles that `skipper iam` prints open no sessions: give whoever may have a shell `ssm:StartSession` on these \
     instances and on the document `SSM-SessionManagerRunShell`, or run a command by `skipper instances ssh UUID -- COMMAND`";

/// An open session.
#[derive(Debug)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// What Systems Manager answered, in JSON: whoever has it has the shell.
    pub response: Secret,
    /// What it was asked, in JSON.
    pub parameters: String,
    /// Where it was asked.
    pub endpoint: String,
}

impl RunCommand {
    /// Opens a session on an instance.
    ///
    /// # Errors
    /// When its agent is not connected, and as Systems Manager answers.
    pub async fn start_session(&self, instance: &InstanceId) -> PortResult<Session> {
        let asked = Asked::changes(&self.region, "ssm:StartSession", format!("instance `{instance}`"));
        let sent = self.ssm.start_session().target(&instance.0).send().await.map_err(|error| {
            let is_away = error.code() == Some("TargetNotConnected");
            let failed = asked.failed(&error);
            match failed.kind {
                PortErrorKind::Denied => failed.hint(SESSION_HINT),
                _ if is_away => failed.hint("see whether the instance and its SSM agent are healthy, and try again"),
                _ => failed,
            }
        })?;
        let (Some(id), Some(token), Some(url)) = (sent.session_id, sent.token_value, sent.stream_url) else {
            return Err(asked.refused(PortErrorKind::Other, "the answer describes no session"));
        };
        let response = json!({ "SessionId": id, "TokenValue": token, "StreamUrl": url }).to_string();
        let suffix = if self.region.starts_with("cn-") { ".cn" } else { "" };
        let usual = || format!("https://ssm.{}.amazonaws.com{suffix}", self.region);
        Ok(Session {
            id,
            response: Secret::new(response),
            parameters: json!({ "Target": instance.0 }).to_string(),
            endpoint: self.endpoint.clone().unwrap_or_else(usual),
        })
    }

    /// Closes a session that nobody has taken up. What goes wrong is nobody's matter any more: it ends by itself.
    pub async fn terminate_session(&self, session: &Session) {
        if let Err(error) = self.ssm.terminate_session().session_id(&session.id).send().await {
            tracing::debug!("{error}");
        }
    }
}
