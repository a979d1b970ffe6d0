//! `plan` and `ps`, which change nothing.

use skipper_core::{event::Moment, exit::Exit, failure::Failure, image::Revision, release::Release, render::words};

use super::{
    Runner,
    ending::{Ending, blocked},
    known,
};
use crate::{images, records::Past};

impl Runner<'_> {
    /// Shows what [`Runner::ship`] would do with the images the registry has, and changes nothing.
    pub async fn plan(&self, revision: &Revision) -> Exit {
        self.start();
        let ending = self.unless_cancelled(self.try_plan(revision)).await.unwrap_or_else(Ending::from);
        self.finish(ending).await
    }

    /// Shows what runs.
    pub async fn ps(&self) -> Exit {
        self.start();
        let ending = self.unless_cancelled(self.try_ps()).await.unwrap_or_else(Ending::from);
        self.finish(ending).await
    }

    async fn try_plan(&self, revision: &Revision) -> Result<Ending, Failure> {
        self.check_account().await?;
        let eyes = self.eyes();
        let config = self.in_bounds();
        let resolved = images::resolve(&config, revision, &self.options, self.world.images);
        let (resolved, observed, past) =
            futures::join!(resolved, eyes.observe(self.config, self.scope()), self.past_if_known());
        let ((release, missing), observed) = (resolved?, observed?);
        self.tell_state(&observed, &known(&release, &past), Moment::Before);
        for service in &missing {
            self.events.warn(
                Failure::new(
                    Exit::Serves,
                    format!("service `{service}` has no image for this commit, and its replicas are not in this plan"),
                )
                .hint("`skipper ship` builds it; what it does with the replicas depends on the image"),
            );
        }
        let desired = self.desired(&release);
        let plan = self.tell_plan(&desired, &observed, Moment::Before);
        if !plan.blocked.is_empty() {
            return Err(blocked(&plan));
        }
        Ok(Ending::good(format!("planned: {}", words::count(plan.steps.len(), "step"))))
    }

    async fn try_ps(&self) -> Result<Ending, Failure> {
        self.check_account().await?;
        let eyes = self.eyes();
        let (observed, past) = futures::join!(eyes.observe(self.config, self.scope()), self.past_if_known());
        let releases: Vec<Release> = past.records.served().cloned().collect();
        let table = self.tell_state(&observed?, &releases, Moment::After);
        let serving = table.replicas.iter().filter(|row| row.wanted && row.serves()).count();
        let wanted = table.replicas.iter().filter(|row| row.wanted).count();
        Ok(Ending::good(format!("{serving} of {wanted} replicas serve")))
    }

    /// The releases by which `ps` recognises images. Not knowing them is no failure where nothing is to be changed.
    async fn past_if_known(&self) -> Past {
        self.past().await.unwrap_or_else(|failure| {
            self.events.warn(failure);
            Past::default()
        })
    }
}
