//! Turns the SDK's errors into the few kinds that something depends on, by their code.
//!
//! Texts of AWS are shown as causes, shortened and on one line; those that quote the request's signature are not shown at all.

#[cfg(test)]
mod tests;

use std::{error::Error, fmt::Display, io};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use skipper_deploy::ports::{PortError, PortErrorKind};

use super::calls::ATTEMPT;

/// Characters of a text of AWS that are shown.
const SHOWN: usize = 400;

const SET_CREDENTIALS: &str = "set `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, for temporary credentials, `AWS_SESSION_TOKEN`; in a workflow the input `aws-role` needs none of them (`skipper iam` describes the role)";

const SET_CLOCK: &str =
    "set the clock of this machine (by NTP): AWS refuses requests whose time is more than five minutes from its own";

/// The regions that every account has; all others are off until the account enables them ("Enable or disable AWS Regions in your account").
const ENABLED_REGIONS: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// What was asked of AWS, for the message when it fails.
pub(super) struct Asked<'a> {
    region: &'a str,
    /// The IAM action that allows it, such as `ec2:RunInstances`.
    action: &'static str,
    /// What it was about, as it reads after "for".
    object: String,
    /// Whether a lost reply leaves open what happened.
    changes: bool,
}

impl<'a> Asked<'a> {
    /// A question that changes nothing.
    pub(super) fn reads(region: &'a str, action: &'static str, object: impl Display) -> Self {
        Self { region, action, object: object.to_string(), changes: false }
    }

    /// A request that changes something.
    pub(super) fn changes(region: &'a str, action: &'static str, object: impl Display) -> Self {
        Self { region, action, object: object.to_string(), changes: true }
    }

    /// A refusal of our own, before or instead of AWS's.
    pub(super) fn refused(&self, kind: PortErrorKind, why: impl Display) -> PortError {
        self.error(kind, "failed").because(why.to_string())
    }

    /// The one mapping of everything that the SDK reports.
    pub(super) fn failed<E>(&self, error: &SdkError<E, HttpResponse>) -> PortError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let code = error.meta().code().unwrap_or_default();
        let status = error.raw_response().map(|response| response.status().as_u16());
        // What went wrong with the credentials of a role says everything itself.
        if let Some(refused) = find::<PortError>(error) {
            return refused.clone();
        }
        if let Some(missing) = find::<CredentialsError>(error) {
            return no_credentials(missing);
        }
        let succeeded = status.is_some_and(|status| (200..300).contains(&status));
        let mapped = match error {
            // AWS said yes in words that broke off on their way or were changed: a change has been made, and a read is read again.
            SdkError::ServiceError(_) | SdkError::ResponseError(_) if succeeded && code.is_empty() => {
                let kind = if self.changes { PortErrorKind::Unclear } else { PortErrorKind::Transient };
                chain(self.error(kind, "got an answer that cannot be read"), error)
            }
            SdkError::ServiceError(_) | SdkError::ResponseError(_) => {
                let text = error.meta().message().unwrap_or_default();
                let answer = Answer { code, text, status, tries: tries(error.raw_response()) };
                self.answered(meaning(code, status.unwrap_or_default()), &answer)
            }
            SdkError::ConstructionFailure(_) => {
                chain(self.error(PortErrorKind::Invalid, "could not be written"), error)
            }
            // Timeouts and lost connections: only a connection that was never made is certain to have changed nothing.
            _ if self.changes && !never_sent(error) => {
                chain(self.error(PortErrorKind::Unclear, "got no answer, and may have been carried out"), error)
            }
            _ => chain(self.error(PortErrorKind::Transient, "got no answer"), error)
                .hint(format!("see whether AWS can be reached from here, and whether `{}` is a region", self.region)),
        };
        match error.request_id() {
            Some(id) => mapped.because(format!("request `{}`", shown(id))),
            None => mapped,
        }
    }

    fn answered(&self, meaning: Meaning, answer: &Answer<'_>) -> PortError {
        let Answer { code, text, tries, .. } = answer;
        let cause = answer.cause();
        match meaning {
            Meaning::Credentials if answer.is_about_time() => {
                let message = format!("AWS does not accept the time of the request (`{}` in `{}`)", self.action, self.region);
                PortError::new(PortErrorKind::Denied, message).because(cause).hint(SET_CLOCK)
            }
            Meaning::Credentials => {
                let message = format!("AWS does not accept the credentials (`{}` in `{}`)", self.action, self.region);
                let hint = match *code {
                    "ExpiredToken" | "ExpiredTokenException" => {
                        "the credentials have expired: get new ones, and let them live longer than a deployment takes"
                    }
                    _ => SET_CREDENTIALS,
                };
                let denied = PortError::new(PortErrorKind::Denied, message).because(cause).hint(hint);
                self.enabled_region(denied)
            }
            Meaning::Denied => {
                let action = refused_action(text).unwrap_or(self.action);
                let message = format!("AWS denied `{action}` for {} in `{}`", self.object, self.region);
                let on = refused_resource(text).map(|resource| format!(" on `{resource}`")).unwrap_or_default();
                let denied = PortError::new(PortErrorKind::Denied, message).because(cause);
                let denied = if *code == "Blocked" {
                    denied.hint("the account is blocked: ask AWS's support")
                } else if text.contains("explicit deny") {
                    denied.hint(format!(
                        "a policy forbids `{action}`{on} explicitly, and nothing else can allow it: change that policy"
                    ))
                } else {
                    denied.hint(format!("allow `{action}`{on} for the role or user whose credentials the run has"))
                };
                match text.split_once(ENCODED) {
                    None => denied,
                    Some((_, encoded)) => {
                        tracing::debug!("AWS's encoded reason: {encoded}");
                        denied.hint(
                            "AWS's whole reason is encoded: run with debug logging (`RUNNER_DEBUG=1`) to see it, and read it with \
                             `aws sts decode-authorization-message`",
                        )
                    }
                }
            }
            Meaning::Throttled => self
                .error(PortErrorKind::Transient, &format!("was throttled{tries}"))
                .because(cause)
                .hint("run again in a minute; if it stays so, see what else of the account calls AWS so often"),
            Meaning::Trouble if self.changes => self
                .error(PortErrorKind::Unclear, &format!("met trouble inside AWS{tries}, and may have been carried out"))
                .because(cause),
            Meaning::Trouble => self
                .error(PortErrorKind::Transient, &format!("met trouble inside AWS{tries}"))
                .because(cause)
                .hint("run again in a while; https://health.aws.amazon.com/health/status tells of trouble inside AWS"),
            Meaning::NoCapacity => self
                .error(PortErrorKind::Capacity, "failed: AWS has no capacity for it")
                .because(cause)
                .hint("run again later, choose another `size`, or name `subnets` in more availability zones: they are tried in turn"),
            Meaning::NotOffered => self
                .error(PortErrorKind::Capacity, "failed: AWS does not offer it there")
                .because(cause)
                .hint("choose another `size`, or name `subnets` in more availability zones: they are tried in turn"),
            Meaning::Quota => self
                .error(PortErrorKind::Quota, "failed: a quota of the account is used up")
                .because(cause)
                .hint("ask AWS for a higher quota (Service Quotas in the console), or free some of it"),
            Meaning::Kind(kind) => {
                let failed = self.error(kind, "failed").because(cause);
                if *code == "OptInRequired" && !self.changes { self.enabled_region(failed) } else { failed }
            }
        }
    }

    /// What a region that is off answers looks like wrong credentials.
    fn enabled_region(&self, error: PortError) -> PortError {
        if ENABLED_REGIONS.contains(&self.region) {
            return error;
        }
        error.hint(format!(
            "if they are right, `{}` may be off for the account: enable it (Account, AWS Regions in the console), or correct `region`",
            self.region
        ))
    }

    fn error(&self, kind: PortErrorKind, how: &str) -> PortError {
        PortError::new(kind, format!("`{}` for {} in `{}` {how}", self.action, self.object, self.region))
    }
}

/// What AWS answered in place of what was asked for.
struct Answer<'a> {
    code: &'a str,
    text: &'a str,
    status: Option<u16>,
    tries: String,
}

impl Answer<'_> {
    fn cause(&self) -> String {
        match (self.code, shown(self.text)) {
            ("", _) => format!("HTTP status {}", self.status.unwrap_or_default()),
            (code, _) if QUOTE_THE_REQUEST.contains(&code) && !self.is_about_time() => code.to_owned(),
            (code, text) if text.is_empty() => shown(code),
            (code, text) => format!("{}: {text}", shown(code)),
        }
    }

    /// Signatures hold for five minutes: a clock that is off looks like a signature that is wrong.
    fn is_about_time(&self) -> bool {
        matches!(self.code, "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture")
            || QUOTE_THE_REQUEST.contains(&self.code)
                && ["Signature expired:", "Signature not yet current:"].iter().any(|words| self.text.starts_with(words))
    }
}

/// How often an answer was asked for, as it reads after "was throttled".
fn tries(answer: Option<&HttpResponse>) -> String {
    match answer.and_then(|answer| answer.headers().get(ATTEMPT)) {
        None | Some("1") => String::new(),
        Some(tries) => format!(" {tries} times"),
    }
}

/// What an error code means for us.
#[derive(Clone, Copy)]
enum Meaning {
    Credentials,
    Denied,
    Throttled,
    /// Something broke inside AWS; a change may have been made.
    Trouble,
    NoCapacity,
    /// Not in the zone that was asked for.
    NotOffered,
    Quota,
    Kind(PortErrorKind),
}

/// Codes whose text repeats what was signed, session token included.
const QUOTE_THE_REQUEST: [&str; 4] =
    ["SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "IncompleteSignatureException"];

/// The meaning of an error code, or of the HTTP status where there is no code.
/// The codes: "Error codes for the Amazon EC2 API", "Common errors" of Systems Manager, IAM and STS.
fn meaning(code: &str, status: u16) -> Meaning {
    match code {
        "AuthFailure"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "RequestInTheFuture"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "InvalidIdentityToken" => Meaning::Credentials,
        "UnauthorizedOperation"
        | "AccessDenied"
        | "AccessDeniedException"
        | "NotAuthorized"
        | "OperationNotPermitted"
        | "Blocked" => Meaning::Denied,
        "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "EC2ThrottledException"
        | "BandwidthLimitExceeded"
        | "PriorRequestNotComplete"
        | "TooManyUpdates"
        | "ServiceUnavailable"
        | "Unavailable" => Meaning::Throttled,
        "InternalError" | "InternalFailure" | "InternalServerError" | "InternalServiceError" | "ServiceFailure" => {
            Meaning::Trouble
        }
        "Unsupported" => Meaning::NotOffered,
        "DependencyViolation" => Meaning::Kind(PortErrorKind::InUse),
        "NoSuchEntity"
        | "InvalidInstanceId"
        | "ParameterNotFound"
        | "InvalidDocument"
        | "InvocationDoesNotExist"
        | "InvalidAMIID.Unavailable" => Meaning::Kind(PortErrorKind::Missing),
        "IdempotentParameterMismatch"
        | "ValidationException"
        | "ValidationError"
        | "UnknownParameter"
        | "VPCIdNotSpecified"
        | "OptInRequired" => Meaning::Kind(PortErrorKind::Invalid),
        code if code.ends_with("NotFound") => Meaning::Kind(PortErrorKind::Missing),
        code if code.starts_with("Insufficient") => Meaning::NoCapacity,
        code if code.ends_with("LimitExceeded") => Meaning::Quota,
        code if code.starts_with("Invalid") || code.starts_with("Missing") => Meaning::Kind(PortErrorKind::Invalid),
        _ => match status {
            401 | 403 => Meaning::Denied,
            429 => Meaning::Throttled,
            500.. => Meaning::Trouble,
            _ => Meaning::Kind(PortErrorKind::Other),
        },
    }
}

fn no_credentials(missing: &CredentialsError) -> PortError {
    chain(PortError::new(PortErrorKind::Denied, "no usable AWS credentials were found").hint(SET_CREDENTIALS), missing)
}

/// What precedes the part of a refusal that only AWS can read.
const ENCODED: &str = "Encoded authorization failure message: ";

/// The ARN that AWS names in its refusal.
fn refused_resource(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("on resource: ")?;
    let resource = rest.split_whitespace().next()?;
    let is_arn = resource.starts_with("arn:") && resource.len() <= 200;
    (is_arn && resource.chars().all(|char| char.is_ascii_graphic() && char != '`')).then_some(resource)
}

/// The action that AWS names in its refusal; launching needs `iam:PassRole` and `ec2:CreateTags` besides its own.
fn refused_action(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("to perform: ")?;
    let action = rest.split([' ', ',']).next()?;
    let word = |part: &str| {
        !part.is_empty() && part.len() <= 64 && part.chars().all(|char| char.is_ascii_alphanumeric() || char == '-')
    };
    let (service, verb) = action.split_once(':')?;
    (word(service) && word(verb)).then_some(action)
}

/// One line, without control characters, of bearable length, and without the part that only AWS can decode.
pub(super) fn shown(text: &str) -> String {
    let text = text.split(ENCODED.trim_end()).next().unwrap_or_default();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut chars = line.chars().filter(|char| !char.is_control());
    let shown: String = chars.by_ref().take(SHOWN).collect();
    if chars.next().is_some() { format!("{shown}…") } else { shown.trim_end_matches('.').to_owned() }
}

/// Adds what is below the outermost error as causes; that one only says which step of a call it was.
fn chain(mapped: PortError, error: &(dyn Error + 'static)) -> PortError {
    sources(error).skip(1).fold(mapped, |mapped, source| mapped.because(shown(&source.to_string())))
}

fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    sources(error).find_map(|source| source.downcast_ref())
}

/// Whether the connection itself failed, so that nothing can have happened.
fn never_sent(error: &(dyn Error + 'static)) -> bool {
    find::<io::Error>(error).is_some_and(|error| {
        use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
        matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
    })
}
