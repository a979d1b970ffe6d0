//! Keeps the SDK from asking again for what a zone has no capacity for.

use aws_sdk_ec2::{
    error::ProvideErrorMetadata as _,
    operation::{run_instances::RunInstancesError, start_instances::StartInstancesError},
};
use aws_smithy_runtime_api::client::{
    interceptors::context::InterceptorContext,
    retries::classifiers::{ClassifyRetry, RetryAction, RetryClassifierPriority},
};

/// EC2 answers want of capacity with status 500, which the SDK takes for trouble that passes within seconds. The next subnet, or the
/// size that an instance had, is the better answer, and it is the caller who knows it.
#[derive(Debug)]
pub(in crate::aws) struct NoCapacity;

impl ClassifyRetry for NoCapacity {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(Result::err).and_then(|error| error.as_operation_error());
        let code = error.and_then(|error| {
            let launch = error.downcast_ref::<RunInstancesError>().and_then(|error| error.code());
            launch.or_else(|| error.downcast_ref::<StartInstancesError>()?.code())
        });
        match code {
            Some(code) if code.starts_with("Insufficient") => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "no capacity"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::http_status_code_classifier())
    }
}
