//! The `docker run` line by which GitHub's runner starts a container action, word by word.
//!
//! actions/runner 2.336.0, `ContainerActionHandler` and `DockerCommandManager.DockerRun`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The engine's socket, which the runner hands to every container action.
const SOCKET: &str = "/var/run/docker.sock";
/// The label by which a runner knows its containers: six digits of a hash of its own configuration.
const RUNNER: &str = "ab12cd";

/// One start of an image.
pub(super) struct Step<'a> {
    pub(super) name: &'a str,
    pub(super) image: &'a str,
    pub(super) entrypoint: Option<&'a str>,
    pub(super) network: Option<&'a str>,
    pub(super) arguments: &'a [&'a str],
}

/// The folders of this machine that a container sees.
pub(super) struct Mounts {
    pub(super) workspace: PathBuf,
    pub(super) file_commands: PathBuf,
    pub(super) workflow: PathBuf,
    pub(super) home: PathBuf,
    pub(super) temporary: PathBuf,
}

impl Mounts {
    /// What is outside, and where it is inside; a folder stands before the one that holds it.
    fn pairs(&self) -> [(&Path, &'static str); 5] {
        [
            (&self.workspace, "/github/workspace"),
            (&self.file_commands, "/github/file_commands"),
            (&self.workflow, "/github/workflow"),
            (&self.home, "/github/home"),
            (&self.temporary, "/github/runner_temp"),
        ]
    }

    /// `value` as it reads inside the container: a path of this machine at its very start becomes the mount's.
    pub(super) fn translated(&self, value: &str) -> String {
        self.pairs()
            .iter()
            .find_map(|(outside, inside)| {
                let rest = value.strip_prefix(outside.to_str()?)?;
                (rest.is_empty() || rest.starts_with('/')).then(|| format!("{inside}{rest}"))
            })
            .unwrap_or_else(|| value.to_owned())
    }
}

/// The name of a container of `image`: letters and digits of the image's, then six that are `unique`.
pub(super) fn name(image: &str, unique: &str) -> String {
    let image: String = image.chars().filter(|char| char.is_ascii_alphanumeric() || "-_".contains(*char)).collect();
    format!("{image}_{unique}")
}

/// The arguments of `docker`. Variables are only named: their values are in the environment of the client.
pub(super) fn line(step: &Step<'_>, mounts: &Mounts, variables: &BTreeMap<String, String>) -> Vec<String> {
    let mut line = Vec::new();
    let mut add = |words: &[&str]| line.extend(words.iter().map(|word| (*word).to_owned()));
    add(&["run", "--name", step.name, "--label", RUNNER, "--workdir", "/github/workspace", "--rm"]);
    for name in variables.keys().filter(|name| *name != "GITHUB_ACTIONS") {
        add(&["-e", name]);
    }
    add(&["-e", "GITHUB_ACTIONS=true"]);
    if !variables.contains_key("CI") {
        add(&["-e", "CI=true"]);
    }
    if let Some(entrypoint) = step.entrypoint {
        add(&["--entrypoint", entrypoint]);
    }
    if let Some(network) = step.network {
        add(&["--network", network]);
    }
    add(&["-v", &format!("{SOCKET}:{SOCKET}")]);
    for (outside, inside) in mounts.pairs().iter().rev() {
        add(&["-v", &format!("{}:{inside}", outside.display())]);
    }
    add(&[step.image]);
    add(step.arguments);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts() -> Mounts {
        Mounts {
            workspace: "/w/shop/shop".into(),
            file_commands: "/w/_temp/_runner_file_commands".into(),
            workflow: "/w/_temp/_github_workflow".into(),
            home: "/w/_temp/_github_home".into(),
            temporary: "/w/_temp".into(),
        }
    }

    #[test]
    fn only_a_path_at_the_start_of_a_value_is_translated() {
        let mounts = mounts();
        assert_eq!(mounts.translated("/w/shop/shop"), "/github/workspace");
        assert_eq!(mounts.translated("/w/shop/shop/a.yml"), "/github/workspace/a.yml");
        assert_eq!(mounts.translated("/w/_temp/x"), "/github/runner_temp/x");
        assert_eq!(mounts.translated("/w/_temp/_github_home/.docker"), "/github/home/.docker");
        for other in ["/w/shop/shopping", "see /w/shop/shop", "/w/shop", ""] {
            assert_eq!(mounts.translated(other), other);
        }
    }

    #[test]
    fn the_line_is_the_runner_s() {
        let variables = [("INPUT_GITHUB-TOKEN", "x"), ("GITHUB_ACTIONS", "true"), ("AWS_REGION", "y")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()));
        let name = name("ghcr.io/acme/skipper:1.2.3@sha256:abc", "0123ab");
        let step = Step {
            name: &name,
            image: "ghcr.io/acme/skipper:1.2.3",
            entrypoint: Some("/skipper-post"),
            network: Some("github_network_1"),
            arguments: &[],
        };
        let line = line(&step, &mounts(), &variables.into()).join(" ");
        assert_eq!(
            line,
            "run --name ghcrioacmeskipper123sha256abc_0123ab --label ab12cd --workdir /github/workspace --rm \
             -e AWS_REGION -e INPUT_GITHUB-TOKEN -e GITHUB_ACTIONS=true -e CI=true \
             --entrypoint /skipper-post --network github_network_1 \
             -v /var/run/docker.sock:/var/run/docker.sock \
             -v /w/_temp:/github/runner_temp \
             -v /w/_temp/_github_home:/github/home \
             -v /w/_temp/_github_workflow:/github/workflow \
             -v /w/_temp/_runner_file_commands:/github/file_commands \
             -v /w/shop/shop:/github/workspace \
             ghcr.io/acme/skipper:1.2.3"
        );
    }
}
