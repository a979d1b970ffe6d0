//! Who a run is to AWS: the role that it takes, what its job shows for it, and the repository that roles are for.

use skipper_core::iam::Repository;

use super::{Raw, SettingsError, Workflow, workflow};
use crate::aws::{TokenRequest, WebIdentity};

/// Digits of an account's number.
const ACCOUNT: usize = 12;

/// The role with the job's own means to get it, which are absent where the job lacks the permission `id-token: write`.
pub(super) fn web_identity(
    raw: &Raw<'_>,
    role: String,
    workflow: Option<&Workflow>,
) -> Result<WebIdentity, SettingsError> {
    if !is_role(&role) {
        return Err(SettingsError::Role(role));
    }
    let request = match (raw.text("ACTIONS_ID_TOKEN_REQUEST_URL")?, raw.secret("ACTIONS_ID_TOKEN_REQUEST_TOKEN")?) {
        (Some(url), Some(bearer)) => Some(TokenRequest { url, bearer }),
        _ => None,
    };
    let session = match workflow {
        Some(workflow) => format!("skipper-{}-{}", workflow.run_id, workflow.run_attempt),
        None => "skipper".to_owned(),
    };
    Ok(WebIdentity { role, session, request })
}

/// The repository that was named, else the workflow's own, with its ids where they are known.
pub(super) fn repository(
    raw: &Raw<'_>,
    name: Option<String>,
    ids: Option<String>,
) -> Result<Option<Repository>, SettingsError> {
    let read = |text: &str| {
        let (owner, repository) = text.split_once('/')?;
        Some((owner.parse().ok()?, repository.parse().ok()?))
    };
    let given = ids.map(|text| read(&text).ok_or(SettingsError::RepositoryIds(text))).transpose()?;
    if let Some(name) = name {
        let name = workflow::repository(name.clone()).map_err(|_| SettingsError::NamedRepository(name))?;
        return Ok(Some(Repository { name, ids: given }));
    }
    let Some(name) = raw.text("GITHUB_REPOSITORY")? else { return Ok(None) };
    let own = (raw.number("GITHUB_REPOSITORY_OWNER_ID")?, raw.number("GITHUB_REPOSITORY_ID")?);
    let ids = given.or(match own {
        (Some(owner), Some(repository)) => Some((owner, repository)),
        _ => None,
    });
    Ok(Some(Repository { name: workflow::repository(name)?, ids }))
}

/// `arn:PARTITION:iam::ACCOUNT:role/NAME`, with a path before the name where it has one.
fn is_role(arn: &str) -> bool {
    let is_account = |text: &str| text.len() == ACCOUNT && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = |text: &str| {
        text.strip_prefix("role/")
            .is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()))
    };
    match arn.split(':').collect::<Vec<_>>()[..] {
        ["arn", partition, "iam", "", account, role] => {
            partition.starts_with("aws") && is_account(account) && is_name(role)
        }
        _ => false,
    }
}
