//! The build context: which files a build reads, in an order that does not depend on the machine.

use std::{
    ffi::OsString,
    fs, io,
    io::Read,
    os::unix::ffi::OsStrExt,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use skipper_deploy::ports::BuildRequest;

use super::dockerignore::{BadPattern, Dockerignore, clean, is_at_or_below};

/// Where the Skipper of 2014 kept its keys.
const KEYS_FILE: &str = ".skippercfg";

/// Why a context cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContextError {
    /// The folder is missing or cannot be entered.
    #[error("open the build context `{}`", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The path leads to something else.
    #[error("open the build context `{}`: it is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// There is no such Dockerfile in the context.
    #[error("find the Dockerfile `{dockerfile}` in the build context `{}`", context.display())]
    NoDockerfile { dockerfile: String, context: PathBuf },
    /// Something else bears the Dockerfile's name, or its path leaves the context.
    #[error("read the Dockerfile `{0}`: it must be a file inside the build context")]
    NotADockerfile(String),
    /// A pattern in `.dockerignore` has no meaning.
    #[error("read `{}`", path.display())]
    Pattern {
        path: PathBuf,
        #[source]
        source: BadPattern,
    },
    /// A file or folder cannot be read.
    #[error("read `{}` of the build context", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Nobody takes the context any more: what ended the build says why.
    #[error("send the build context: the engine stopped reading it")]
    Abandoned,
}

/// A folder with its rules: what is sent and what is left out.
#[derive(Debug)]
pub(super) struct Context {
    root: PathBuf,
    /// Relative to the root, in its shortest spelling.
    dockerfile: String,
    ignore: Dockerignore,
}

/// One thing that is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative to the context.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is. Sockets, pipes and devices are never sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A folder.
    Folder,
    /// A file of this many bytes.
    File(u64),
    /// A symbolic link, which is sent as such wherever it points.
    Link(PathBuf),
}

/// What is done with each entry.
type Visit<'a> = dyn FnMut(&Entry) -> Result<(), ContextError> + 'a;

impl Context {
    /// Opens the context of a build and reads its ignore file: `<Dockerfile>.dockerignore`, else `.dockerignore`.
    pub(super) fn open(build: &BuildRequest) -> Result<Self, ContextError> {
        let root = build.context.clone();
        let found = fs::metadata(&root).map_err(|source| ContextError::Open { path: root.clone(), source })?;
        if !found.is_dir() {
            return Err(ContextError::NotAFolder(root));
        }
        let dockerfile = clean(&build.dockerfile);
        if build.dockerfile.starts_with('/') || dockerfile.is_empty() || dockerfile.starts_with("..") {
            return Err(ContextError::NotADockerfile(build.dockerfile.clone()));
        }
        match fs::metadata(root.join(&dockerfile)) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(ContextError::NotADockerfile(dockerfile)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ContextError::NoDockerfile { dockerfile, context: root });
            }
            Err(source) => return Err(ContextError::Read { path: dockerfile.into(), source }),
        }
        let ignore = read_ignore_file(&root, &dockerfile)?;
        Ok(Self { root, dockerfile, ignore })
    }

    /// The Dockerfile's path in the context, in its shortest spelling.
    pub(super) fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// Calls `visit` for everything that is sent: folders before what they hold, names in the order of their bytes.
    ///
    /// The Dockerfile is sent even where it is left out, as the builder has no other way to it. An ignore file that is
    /// left out is not: the builder never reads it, its work is done here.
    pub(super) fn walk(&self, visit: &mut Visit<'_>) -> Result<(), ContextError> {
        self.walk_folder(Path::new(""), &mut Vec::new(), visit)
    }

    /// `held_back` are the folders around this one that are left out themselves: they are sent once something in them is.
    fn walk_folder(
        &self,
        folder: &Path,
        held_back: &mut Vec<Entry>,
        visit: &mut Visit<'_>,
    ) -> Result<(), ContextError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| ContextError::Read { path, source }
        };
        let entries = fs::read_dir(self.root.join(folder)).map_err(unreadable(folder))?;
        let mut names = entries
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<OsString>>>()
            .map_err(unreadable(folder))?;
        names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        for name in names {
            let path = folder.join(name);
            let Some(entry) = self.entry(path).map_err(|(path, source)| ContextError::Read { path, source })? else {
                continue;
            };
            let path = entry.path.clone();
            let shown = path.to_string_lossy();
            // Keys are nobody's sources, whatever `.dockerignore` says: an image would carry them to a registry.
            if entry.path.file_name().is_some_and(|name| name == KEYS_FILE) {
                continue;
            }
            let is_sent = shown == self.dockerfile || !self.ignore.excludes(&shown);
            let is_folder = entry.kind == Kind::Folder;
            if is_sent {
                for folder in held_back.drain(..) {
                    visit(&folder)?;
                }
                visit(&entry)?;
                if is_folder {
                    self.walk_folder(&path, &mut Vec::new(), visit)?;
                }
            } else if is_folder && (self.ignore.may_include_below(&shown) || is_at_or_below(&self.dockerfile, &shown)) {
                held_back.push(entry);
                self.walk_folder(&path, held_back, visit)?;
                // It is still there when nothing in it was sent.
                held_back.pop();
            }
        }
        Ok(())
    }

    /// The entry at a path; nothing when it is of a kind that is not sent.
    fn entry(&self, path: PathBuf) -> Result<Option<Entry>, (PathBuf, io::Error)> {
        let full = self.root.join(&path);
        let found = match fs::symlink_metadata(&full) {
            Ok(found) => found,
            Err(error) => return Err((path, error)),
        };
        let kind = if found.is_dir() {
            Kind::Folder
        } else if found.is_file() {
            Kind::File(found.len())
        } else if found.is_symlink() {
            match fs::read_link(&full) {
                Ok(target) => Kind::Link(target),
                Err(error) => return Err((path, error)),
            }
        } else {
            return Ok(None);
        };
        Ok(Some(Entry { path, mode: found.permissions().mode() & 0o7777, kind }))
    }

    /// The bytes of a file entry: exactly as many as it had when it was found, or an error.
    pub(super) fn open_file(&self, path: &Path, size: u64) -> io::Result<impl Read + use<>> {
        Ok(Exactly { file: fs::File::open(self.root.join(path))?, left: size })
    }
}

fn read_ignore_file(root: &Path, dockerfile: &str) -> Result<Dockerignore, ContextError> {
    for name in [format!("{dockerfile}.dockerignore"), ".dockerignore".to_owned()] {
        match fs::read(root.join(&name)) {
            Ok(bytes) => {
                let parsed = Dockerignore::parse(&String::from_utf8_lossy(&bytes));
                return parsed.map_err(|source| ContextError::Pattern { path: name.into(), source });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ContextError::Read { path: name.into(), source }),
        }
    }
    Ok(Dockerignore::default())
}

/// A reader that ends where a tar header said the file ends: one that shrinks meanwhile is an error, not a broken archive.
struct Exactly<R> {
    file: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::testing::{build_of, folder_of};

    fn paths(build: &BuildRequest) -> Vec<String> {
        let mut paths = Vec::new();
        Context::open(build)
            .unwrap()
            .walk(&mut |entry| {
                paths.push(entry.path.display().to_string());
                Ok(())
            })
            .unwrap();
        paths
    }

    #[test]
    fn everything_is_sent_in_one_order_when_nothing_is_ignored() {
        let folder = folder_of(&[("Dockerfile", ""), ("b/x", ""), ("a", ""), ("B", ""), ("b.txt", "")]);
        assert_eq!(paths(&build_of(&folder)), ["B", "Dockerfile", "a", "b", "b/x", "b.txt"]);
    }

    #[test]
    fn an_ignored_dockerfile_is_sent_and_an_ignored_ignore_file_is_not() {
        let folder = folder_of(&[
            (".dockerignore", "*\n!src"),
            ("docker/web/Dockerfile", ""),
            ("docker/other", ""),
            ("src/a", ""),
            ("b", ""),
        ]);
        let build = BuildRequest { dockerfile: "./docker/web/Dockerfile".into(), ..build_of(&folder) };
        assert_eq!(paths(&build), ["docker", "docker/web", "docker/web/Dockerfile", "src", "src/a"]);
    }

    #[test]
    fn the_ignore_file_of_a_dockerfile_takes_precedence() {
        let folder = folder_of(&[
            (".dockerignore", "a"),
            ("web.Dockerfile.dockerignore", "b\n*.dockerignore\n.dockerignore"),
            ("web.Dockerfile", ""),
            ("a", ""),
            ("b", ""),
        ]);
        let build = BuildRequest { dockerfile: "web.Dockerfile".into(), ..build_of(&folder) };
        assert_eq!(paths(&build), ["a", "web.Dockerfile"]);
    }

    #[test]
    fn a_folder_that_is_left_out_is_sent_for_what_an_exception_brings_back_and_not_otherwise() {
        let folder = folder_of(&[
            (".dockerignore", "vendor\n!vendor/**/keep\n.dockerignore"),
            ("Dockerfile", ""),
            ("vendor/a/x", ""),
            ("vendor/b/deep/keep", ""),
            ("vendor/b/deep/z", ""),
            ("vendor/c/y", ""),
        ]);
        assert_eq!(
            paths(&build_of(&folder)),
            ["Dockerfile", "vendor", "vendor/b", "vendor/b/deep", "vendor/b/deep/keep"]
        );
    }

    #[test]
    fn keys_are_never_sent() {
        let folder = folder_of(&[
            (".dockerignore", "!.skippercfg"),
            (".skippercfg", "{}"),
            ("Dockerfile", ""),
            ("a/.skippercfg", ""),
        ]);
        assert_eq!(paths(&build_of(&folder)), [".dockerignore", "Dockerfile", "a"]);
    }

    #[test]
    fn links_stay_links_modes_stay_and_sockets_are_left_out() {
        let folder = folder_of(&[("Dockerfile", ""), ("run.sh", "#!")]);
        std::os::unix::fs::symlink("/nowhere", folder.path().join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        fs::set_permissions(folder.path().join("run.sh"), fs::Permissions::from_mode(0o750)).unwrap();
        let mut entries = Vec::new();
        let context = Context::open(&build_of(&folder)).unwrap();
        context
            .walk(&mut |entry| {
                entries.push((entry.path.display().to_string(), entry.mode, format!("{:?}", entry.kind)));
                Ok(())
            })
            .unwrap();
        assert_eq!(entries.len(), 3);
        assert_eq!((entries[1].0.as_str(), entries[1].2.as_str()), ("link", "Link(\"/nowhere\")"));
        assert_eq!((entries[2].0.as_str(), entries[2].1, entries[2].2.as_str()), ("run.sh", 0o750, "File(2)"));
    }

    #[test]
    fn a_context_that_cannot_be_built_is_refused_with_its_reason() {
        let folder = folder_of(&[("Dockerfile", ""), ("sub/x", ""), (".dockerignore", "")]);
        let message = |build: BuildRequest| {
            Context::open(&build).unwrap_err().to_string().replace(&folder.path().display().to_string(), "ROOT")
        };
        let with = |dockerfile: &str| BuildRequest { dockerfile: dockerfile.into(), ..build_of(&folder) };
        assert_eq!(
            message(BuildRequest { context: folder.path().join("gone"), ..build_of(&folder) }),
            "open the build context `ROOT/gone`"
        );
        assert_eq!(
            message(BuildRequest { context: folder.path().join("Dockerfile"), ..build_of(&folder) }),
            "open the build context `ROOT/Dockerfile`: it is not a folder"
        );
        assert_eq!(message(with("Containerfile")), "find the Dockerfile `Containerfile` in the build context `ROOT`");
        for outside in ["../Dockerfile", "/etc/Dockerfile", "sub", "."] {
            assert_eq!(
                message(with(outside)),
                format!("read the Dockerfile `{outside}`: it must be a file inside the build context")
            );
        }
        fs::write(folder.path().join(".dockerignore"), "a[").unwrap();
        assert_eq!(message(with("Dockerfile")), "read `.dockerignore`");
    }

    #[test]
    fn a_file_that_shrinks_while_it_is_read_is_an_error() {
        let mut reader = Exactly { file: &b"abc"[..], left: 4 };
        assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let mut reader = Exactly { file: &b"abc"[..], left: 2 };
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"ab");
    }
}
