//! `plan` and `ps`, which change nothing.

use skipper_core::{
    cost::estimate,
    event::{EventKind, Moment},
    exit::Exit,
    failure::Failure,
    image::Revision,
    release::Release,
    render::words,
};

use super::{
    Runner,
    ending::{Ending, blocked},
    known,
};
use crate::{images, records::Past, secrets};

impl Runner<'_> {
    /// Shows what [`Runner::ship`] would do, and changes nothing. Images that are to be built are planned for as if they were there.
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
        let (account, past) = futures::join!(self.check_account(), self.past_if_known());
        account?;
        let eyes = self.eyes();
        let config = self.in_bounds();
        let resolved = images::resolve(&config, revision, &self.options, self.world.images);
        let secrets = secrets::foresee(&config, self.scope(), &past.records, &eyes);
        let (resolved, secrets, observed) = futures::join!(resolved, secrets, eyes.observe(self.config, self.scope()));
        let ((release, to_build), secrets, observed) = (resolved?, secrets?, observed?);
        let release = Release { secrets, ..release };
        for (service, image) in &release.images {
            let image = (!to_build.contains(service)).then(|| image.clone());
            self.events.emit(EventKind::ImageForeseen { service: service.clone(), image });
        }
        self.tell_state(&observed, &known(&release, &past), Moment::Before);
        let desired = self.desired(&release);
        let plan = self.tell_plan(&desired, &observed, Moment::Before);
        self.events.emit(EventKind::Estimated { estimate: estimate(self.config, &observed, &plan) });
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
        let serving = table.serving().count();
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
