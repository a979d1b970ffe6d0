//! The step that removes what is recorded of an environment.

use super::{Run, StepResult};

impl Run<'_> {
    /// In their order: a run that is cut off leaves the last ones, by which the next finds that something is left.
    pub(super) async fn forget(&self, records: &[String]) -> StepResult {
        let path = self.known.desired.scope.path();
        let paths: Vec<String> = records.iter().map(|record| format!("{path}/{record}")).collect();
        self.ask(async || self.hands.store.remove(&paths).await)
            .await
            .map_err(|error| error.failure.during("remove what is recorded of the environment").into())
    }
}
