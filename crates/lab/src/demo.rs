//! `cargo lab demo`: two commits of `examples/hello`, shipped by the real skipper, with everything there is to see.

pub(crate) mod project;

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clock::{Clock, say};
use crate::github::Seed;
use crate::job::{Job, Outcome};
use crate::lab::{Lab, Options};
use project::Project;

const REPOSITORY: &str = "acme/hello";
const TOKEN: &str = "ghs_demo";
/// The longest that shipping may take; it takes about a minute.
const PATIENCE: Duration = Duration::from_secs(600);

/// Runs the demo in the lab that `options` describe, which stays up.
///
/// # Errors
/// When the lab does not start, or anything does not end as the demo means to show.
pub fn run(options: &Options) -> Result<()> {
    let clock = Clock::start();
    let lab = Lab::up(options, &clock)?;
    let demo = Demo {
        project: clock
            .measure("copying examples/hello and giving it a git repository", || Project::make(&lab, "hello"))?,
        lab: &lab,
        clock: &clock,
    };
    say(&format!(
        "         it is in {}, and its skipper.yml names the lab's registry `{}` and fleet archive",
        demo.project.folder().display(),
        lab.topology().registry()
    ));
    lab.github().seed(&[Seed::repository(REPOSITORY), Seed::workflow_token(TOKEN, REPOSITORY)])?;

    clock.say("the first commit");
    let first = demo.ship("Say hello")?;
    clock.say("the second commit, which changes the text of one service");
    demo.project.change_greeting()?;
    let second = demo.ship("Say hello again")?;
    title("what changed between the two commits");
    for (address, before) in &first {
        let after =
            second.iter().find_map(|(other, after)| (other == address).then_some(after.as_str())).unwrap_or("nothing");
        say(&format!("http://{address}/"));
        for line in before.lines().filter(|line| !after.contains(*line)) {
            say(&format!("  - {line}"));
        }
        for line in after.lines().filter(|line| !before.contains(*line)) {
            say(&format!("  + {line}"));
        }
    }
    if first.iter().any(|answer| second.contains(answer)) {
        bail!("the second commit does not serve everywhere");
    }
    demo.farewell()
}

struct Demo<'lab> {
    project: Project,
    lab: &'lab Lab,
    clock: &'lab Clock,
}

impl Demo<'_> {
    /// Commits what is there, merges it by a pull request, ships it, and shows what came of it: the answers of the
    /// app, by the address of the host.
    fn ship(&self, subject: &str) -> Result<Vec<(String, String)>> {
        let sha = self.project.commit(subject)?;
        let pull = self.lab.github().dump()?.pulls.get(REPOSITORY).map_or(1, |pulls| pulls + 1);
        let pull = u64::try_from(pull).context("numbering the pull request")?;
        self.lab.github().seed(&[Seed::merged_pull(REPOSITORY, pull, subject, &sha)])?;
        let job =
            Job::push(self.lab, self.project.folder(), REPOSITORY, &sha).input("github-token", TOKEN).run_id(pull);

        title(&format!("skipper ship, for commit {sha}"));
        let shipped =
            self.clock.time(&format!("skipper ship: {subject}"), || self.skipper(&job.clone().shown(), &["ship"]))?;
        for (name, value) in &shipped.outputs {
            say(&format!("output {name}: {}", shortened(value)));
        }

        title("skipper ps");
        block(&self.skipper(&job, &["ps"])?.stdout);

        title(&format!("the comment on pull request {pull}, as Markdown"));
        let comments = self.lab.github().comments(REPOSITORY, pull)?;
        let [comment] = comments.as_slice() else {
            bail!("there are {} comments on pull request {pull}, not one", comments.len());
        };
        block(&comment.body);
        say(&format!("(created once, edited {} times)", comment.edits));

        title("the app, asked over HTTP on every host");
        let mut answers = Vec::new();
        for host in self.lab.hosts()? {
            let answer = self
                .lab
                .http_get(&format!("http://{}/", host.address))?
                .success()
                .with_context(|| format!("asking the app on `{}`", host.address))?;
            let name = host.name.as_deref().unwrap_or(&host.instance);
            say(&format!("{name}, http://{}/", host.address));
            block(&answer.body);
            answers.push((host.address, answer.body));
        }
        if answers.is_empty() {
            bail!("there are no hosts");
        }
        Ok(answers)
    }

    /// Runs skipper as the action would, and expects it to end well.
    fn skipper(&self, job: &Job, arguments: &[&str]) -> Result<Outcome> {
        let outcome = job.start(self.lab.skipper()?, arguments)?.wait(PATIENCE)?;
        if outcome.code != Some(0) {
            bail!(
                "`skipper {}` ended with {}\n{}\nhint: `cargo lab logs`, `cargo lab logs web_1`",
                arguments.join(" "),
                outcome.code.map_or("a signal".to_owned(), |code| format!("exit code {code}")),
                outcome.log.trim_end()
            );
        }
        Ok(outcome)
    }

    /// Where the time went, and what to do next.
    fn farewell(&self) -> Result<()> {
        title("done");
        block(&self.clock.report());
        let name = &self.lab.topology().name;
        let option = match name.to_string().as_str() {
            "dev" => String::new(),
            name => format!(" --name {name}"),
        };
        say("the lab stays up; look around:");
        for host in self.lab.hosts()?.iter().take(1) {
            say(&format!("  curl http://{}/", host.address));
            let host = host.name.as_deref().unwrap_or(&host.instance);
            say(&format!("  cargo lab{option} shell {host}      # docker ps, fleetctl list-units, journalctl"));
        }
        say(&format!("  cargo lab{option} status"));
        say(&format!("  cargo lab{option} logs cloud"));
        say(&format!("and remove it with `cargo lab{option} down`"));
        Ok(())
    }
}

/// Outputs that are whole documents are shown by their beginning.
fn shortened(value: &str) -> String {
    match value.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

fn title(text: &str) {
    say(&format!("\n── {text} ──"));
}

fn block(text: &str) {
    for line in text.trim_end().lines() {
        say(&format!("  | {line}"));
    }
}
