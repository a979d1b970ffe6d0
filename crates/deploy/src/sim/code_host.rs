//! Pull requests and their comments.

use async_trait::async_trait;
use skipper_core::image::Revision;

use super::SimWorld;
use crate::ports::{CodeHost, PortResult};

#[async_trait(?Send)]
impl CodeHost for SimWorld {
    async fn pull_requests(&self, _revision: &Revision) -> PortResult<Vec<u64>> {
        self.call("code_host.pull_requests", async || Ok(self.look().pull_requests.clone())).await
    }

    async fn comment(
        &self,
        pull_request: u64,
        key: &str,
        _run: Option<(u64, u32)>,
        body: &str,
    ) -> PortResult<Option<String>> {
        self.call("code_host.comment", async || {
            let mut state = self.change();
            let found = state.comments.iter_mut().find(|(number, known, ..)| *number == pull_request && known == key);
            match found {
                Some((_, _, text, edits)) => {
                    *text = body.to_owned();
                    *edits += 1;
                }
                None => state.comments.push((pull_request, key.to_owned(), body.to_owned(), 0)),
            }
            Ok(Some(format!("https://github.example/pull/{pull_request}#issuecomment-1")))
        })
        .await
    }
}
