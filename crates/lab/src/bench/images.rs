//! Building and pushing images, beside the `docker` client on the same engine and builder.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Bench;
use super::client::Client;
use super::paired::Paired;
use super::project::{Project, commit};
use super::table::Section;

const PATIENCE: Duration = Duration::from_secs(300);

/// An early step that a cold build does anew, with some work and some megabytes to push; and a late one.
const DOCKERFILE: &str = "\
FROM debian:bookworm-slim
COPY early /early
RUN sha256sum /usr/bin/* >/sums && head -c 8000000 /dev/urandom >/payload
COPY late /late
";

/// What has changed since the image was built before.
#[derive(Clone, Copy)]
enum Change {
    Early,
    Late,
    Nothing,
}

pub(super) fn measure(bench: &Bench<'_>) -> Result<Section> {
    let client = Client::find(bench.lab()?)?;
    let mut section = Section::new("Building and pushing", &["what", "skipper", "`docker`", "ratio"]);
    section.say(format!(
        "Against {}: `docker build` and `docker push`, all services side by side. skipper's time is that of a whole `skipper ship` of a file \
         without hosts: it also hashes the context, asks the registry what it has, looks at AWS, and pushes a second tag for the inputs. \
         Cold: an early step of each Dockerfile is done anew, with 8 MB to push; the layers of the base image are in the registry.",
        client.describe()
    ));
    for services in [1, 3] {
        let two = Two::make(bench, &client, services)?;
        two.both(bench, "warming up", "warm-up", Change::Early)?;
        let title = if services == 1 { "one service".to_owned() } else { format!("{services} services") };
        for (what, change, limit) in [
            ("cold", Change::Early, None),
            ("only a late step changed", Change::Late, None),
            ("another commit, nothing changed", Change::Nothing, None::<f64>),
        ] {
            let mut paired = Paired::default();
            for run in 0..bench.runs {
                let name = format!("{services} {what} {run}");
                let (ours, theirs) = two.both(bench, &format!("{title}: {what}"), &name, change)?;
                paired.push(ours, theirs);
            }
            let cells = [format!("{title}, {what}")].into_iter().chain(paired.cells());
            match limit {
                Some(limit) => section.held_row(cells, &format!("at most {limit}"), paired.ratios().median() <= limit),
                None => section.row(cells),
            }
        }
    }
    Ok(section)
}

/// The same project twice, so that neither finds what the other has built.
struct Two<'a> {
    client: &'a Client,
    ours: Project,
    theirs: Project,
}

impl<'a> Two<'a> {
    fn make(bench: &Bench<'_>, client: &'a Client, services: usize) -> Result<Self> {
        let lab = bench.lab()?;
        let ours = Project::make(lab, &format!("bench-ours-{services}"), services)?;
        let theirs = Project::make(lab, &format!("bench-theirs-{services}"), services)?;
        for project in [&ours, &theirs] {
            project.write("Dockerfile", DOCKERFILE)?;
            project.write("late", "first")?;
        }
        Ok(Self { client, ours, theirs })
    }

    /// Builds the commit called `name` on both sides.
    fn both(&self, bench: &Bench<'_>, what: &str, name: &str, change: Change) -> Result<(Duration, Duration)> {
        for (project, side) in [(&self.ours, "ours"), (&self.theirs, "theirs")] {
            match change {
                Change::Early => project.write("early", &format!("{name} {side}"))?,
                Change::Late => project.write("late", &format!("{name} {side}"))?,
                Change::Nothing => {}
            }
        }
        bench.clock.say(what);
        let ours = bench.clock.time(&format!("{what}: skipper"), || self.skipper(bench, name))?;
        let theirs = bench.clock.time(&format!("{what}: docker"), || self.docker(bench, name))?;
        Ok((ours, theirs))
    }

    fn skipper(&self, bench: &Bench<'_>, name: &str) -> Result<Duration> {
        let job = self.ours.job(bench.lab()?, name);
        let began = Instant::now();
        let outcome = job.start(&bench.skipper, &["ship"])?.wait(PATIENCE)?;
        let took = began.elapsed();
        if outcome.code != Some(0) {
            bail!("`skipper ship` failed:\n{}", outcome.log);
        }
        Ok(took)
    }

    fn docker(&self, bench: &Bench<'_>, name: &str) -> Result<Duration> {
        let registry = bench.lab()?.topology().registry();
        let began = Instant::now();
        std::thread::scope(|scope| {
            let builds: Vec<_> = self
                .theirs
                .services
                .iter()
                .map(|service| {
                    let image = format!("{registry}/bench-theirs/{service}:{}", commit(name));
                    scope.spawn(move || self.client.build_and_push(&image, &self.theirs.context(service)))
                })
                .collect();
            builds.into_iter().try_for_each(|build| match build.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        Ok(began.elapsed())
    }
}
