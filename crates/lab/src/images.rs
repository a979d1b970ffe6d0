//! The lab's container images, built when they are missing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::clock::Clock;
use crate::docker::{attempt, docker_with_input, last_lines, lines, succeeds};
use crate::fleet::hex;
use crate::folder::{copy, files_below};

/// What the images, and the demo's, are built on.
pub(crate) const BASE: &str = "debian:bookworm-slim";

/// Makes the base image by the script `$0`, after installing the one tool that it needs where this user may.
const MAKE_BASE: &str = r#"
command -v debootstrap >/dev/null || [ "$(id -u)" -ne 0 ] ||
  { apt-get update -qq && apt-get install -qq -y --no-install-recommends debootstrap; } >&2
exec sh "$0" "$@"
"#;

/// Variables that name a file with the machine's certificate authorities, the most usual first.
const CA_BUNDLES: [&str; 4] = ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NIX_SSL_CERT_FILE"];

/// Variables that Docker knows as build arguments without a Dockerfile naming them.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"];

/// The images that are built from folders, by name and tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Images {
    pub(crate) host: String,
    pub(crate) cloud: String,
    pub(crate) registry: String,
}

impl Images {
    /// Builds what is missing, side by side.
    pub(crate) fn build(clock: &Clock) -> Result<Self> {
        let host = Recipe::find("host")?;
        let cloud = Recipe::find("cloud")?;
        let registry = Recipe::find("registry")?;
        let mut missing = Vec::new();
        for context in [&host, &cloud, &registry] {
            if !succeeds(&["image", "inspect", &context.image])? {
                missing.push(context);
            }
        }
        if !missing.is_empty() {
            base(clock)?;
        }
        std::thread::scope(|scope| {
            let builds: Vec<_> = missing.into_iter().map(|context| scope.spawn(move || context.build(clock))).collect();
            for build in builds {
                match build.join() {
                    Ok(result) => result?,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            anyhow::Ok(())
        })?;
        Ok(Self { host: host.image, cloud: cloud.image, registry: registry.image })
    }
}

/// The image of the folder `name`, built when it is missing.
pub(crate) fn one(clock: &Clock, name: &'static str) -> Result<String> {
    let recipe = Recipe::find(name)?;
    if !succeeds(&["image", "inspect", &recipe.image])? {
        base(clock)?;
        recipe.build(clock)?;
    }
    Ok(recipe.image)
}

/// Makes the image of the lab's own static `program`, on nothing. Its former versions go.
pub(crate) fn import(clock: &Clock, program: &Path) -> Result<String> {
    let unreadable = || format!("reading `{}`", program.display());
    let metadata = fs::metadata(program).with_context(unreadable)?;
    let modified = metadata.modified().with_context(unreadable)?.duration_since(UNIX_EPOCH).with_context(unreadable)?;
    // Length and time tell two builds apart as well as a hash of many megabytes does, at once.
    let image = format!("skipper-lab/github:{:x}-{:x}", metadata.len(), modified.as_nanos());
    if succeeds(&["image", "inspect", &image])? {
        return Ok(image);
    }
    clock.measure("making the image of GitHub", || {
        let mut root = tar::Builder::new(Vec::new());
        // Docker does not read GNU's entries for sparse files, and a program can be one.
        root.sparse(false);
        root.append_path_with_name(program, "skipper-lab")
            .and_then(|()| root.append_dir("files", "."))
            .context("packing the image of GitHub")?;
        let root = root.into_inner().context("packing the image of GitHub")?;
        docker_with_input(&["import", "--change", r#"ENTRYPOINT ["/skipper-lab"]"#, "-", &image], &root)
    })?;
    for former in lines(&["images", "--format", "{{.Repository}}:{{.Tag}}", "skipper-lab/github"])? {
        if former != image {
            // Another lab may still run it.
            succeeds(&["rmi", &former])?;
        }
    }
    Ok(image)
}

/// Removes the images that labs are started from, and their base, as far as no lab uses them.
///
/// # Errors
/// When Docker cannot be asked.
pub fn remove_all() -> Result<()> {
    let format = "{{.Repository}}:{{.Tag}}";
    for image in lines(&["images", "--format", format, "skipper-lab/*"])? {
        succeeds(&["rmi", &image])?;
    }
    succeeds(&["rmi", BASE])?;
    Ok(())
}

/// A folder to build an image from.
struct Recipe {
    name: &'static str,
    folder: PathBuf,
    image: String,
}

impl Recipe {
    fn find(name: &'static str) -> Result<Self> {
        let folder = folder().join(name);
        let mut hash = Sha256::new();
        for file in files_below(&folder)? {
            let path = folder.join(&file);
            let bytes = fs::read(&path).with_context(|| format!("reading `{}`", path.display()))?;
            let mode =
                fs::metadata(&path).with_context(|| format!("reading `{}`", path.display()))?.permissions().mode();
            hash.update(format!("{}\0{}\0{}\0", file.display(), mode & 0o111 != 0, bytes.len()));
            hash.update(&bytes);
        }
        let tag = &hex(&hash.finalize())[..12];
        Ok(Self { name, folder, image: format!("skipper-lab/{name}:{tag}") })
    }

    fn build(&self, clock: &Clock) -> Result<()> {
        clock.measure(&format!("building the {} image", self.name), || {
            let context = tempfile::tempdir().context("making a folder to build in")?;
            copy(&self.folder, context.path())?;
            fs::write(context.path().join("ca.crt"), authorities()?).context("writing `ca.crt`")?;
            let mut arguments = vec!["build".to_owned(), "--tag".to_owned(), self.image.clone()];
            for proxy in PROXIES {
                if std::env::var_os(proxy).is_some_and(|value| !value.is_empty()) {
                    arguments.extend(["--build-arg".to_owned(), proxy.to_owned()]);
                }
            }
            arguments.push(context.path().display().to_string());
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let output = attempt(&arguments, None)?;
            if !output.status.success() {
                let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
                said.push_str(&String::from_utf8_lossy(&output.stderr));
                bail!("building the {} image failed:\n{}", self.name, last_lines(&said, 40));
            }
            Ok(())
        })
    }
}

/// The folder of the build contexts.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("images")
}

/// Sees that the base image is there: pulled, or made from Debian's packages where no registry can be reached.
fn base(clock: &Clock) -> Result<()> {
    if succeeds(&["image", "inspect", BASE])? {
        return Ok(());
    }
    if clock.measure(&format!("pulling {BASE}"), || succeeds(&["pull", "--quiet", BASE]))? {
        return Ok(());
    }
    let script = folder().join("base.sh");
    clock.measure(&format!("making {BASE} from Debian's packages, as it cannot be pulled"), || {
        let output = Command::new("sh")
            .args(["-c", MAKE_BASE])
            .arg(&script)
            .arg(BASE)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("starting `{}`", script.display()))?;
        if !output.status.success() {
            bail!(
                "making {BASE} failed: {}\nhint: `docker pull {BASE}`, or install `debootstrap` and run as root",
                last_lines(&String::from_utf8_lossy(&output.stderr), 20)
            );
        }
        Ok(())
    })
}

/// The certificate authorities that this machine trusts beyond the usual, for builds behind an inspecting proxy; none is empty.
fn authorities() -> Result<Vec<u8>> {
    for variable in CA_BUNDLES {
        if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
            return fs::read(&path).with_context(|| format!("reading `{}`, named by `{variable}`", path.display()));
        }
    }
    Ok(Vec::new())
}
