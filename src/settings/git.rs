//! The commit that is checked out, from git's own files: the git program need not be there, nor trust the folder's owner.
//!
//! The layout is git's documented one: <https://git-scm.com/docs/gitrepository-layout>.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use skipper_core::image::{ImageError, Revision};

/// A chain of symbolic references is never this long in earnest.
const LONGEST_CHAIN: usize = 5;

/// Why the commit could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git folder.
    #[error("neither `{}` nor a folder above it is a git repository", .0.display())]
    NoRepository(PathBuf),
    /// One of git's files cannot be read.
    #[error("read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A branch without a commit.
    #[error("`{0}` has no commit yet, or is stored in a format other than files")]
    NoCommit(String),
    /// Something else than a commit's SHA.
    #[error("`{reference}` does not lead to a commit")]
    NotACommit {
        /// What was followed.
        reference: String,
        /// What is wrong with what it leads to.
        source: ImageError,
    },
}

/// The commit that is checked out in `here` or the nearest folder above it that is a repository.
pub(super) fn head(here: &Path) -> Result<Revision, GitError> {
    let git = here.ancestors().find_map(git_folder).ok_or_else(|| GitError::NoRepository(here.to_owned()))??;
    // A linked worktree has its own HEAD, and its branches in the main one's folder.
    let common = match read(&git.join("commondir")) {
        Ok(common) => git.join(common.trim()),
        Err(_) => git.clone(),
    };
    let mut name = "HEAD".to_owned();
    for _ in 0..LONGEST_CHAIN {
        let text = reference(&git, &common, &name)?;
        match text.strip_prefix("ref:") {
            Some(next) => name = next.trim().to_owned(),
            None => return text.parse().map_err(|source| GitError::NotACommit { reference: name, source }),
        }
    }
    Err(GitError::NoCommit(name))
}

/// The git folder of a working tree: `.git`, or what the file `.git` names.
fn git_folder(tree: &Path) -> Option<Result<PathBuf, GitError>> {
    let git = tree.join(".git");
    if git.is_dir() {
        return Some(Ok(git));
    }
    git.is_file().then(|| {
        let text = read(&git)?;
        let folder = text.trim().strip_prefix("gitdir:").unwrap_or_default().trim();
        Ok(tree.join(folder))
    })
}

/// What a reference holds: in a file of its own, or in the packed list.
fn reference(git: &Path, common: &Path, name: &str) -> Result<String, GitError> {
    let own = if name == "HEAD" { git.join(name) } else { common.join(name) };
    match read(&own) {
        Ok(text) => return Ok(text.trim().to_owned()),
        Err(GitError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let packed = read(&common.join("packed-refs")).map_err(|_| GitError::NoCommit(name.to_owned()))?;
    packed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find_map(|(sha, packed)| (packed == name).then(|| sha.to_owned()))
        .ok_or_else(|| GitError::NoCommit(name.to_owned()))
}

fn read(path: &Path) -> Result<String, GitError> {
    fs::read_to_string(path).map_err(|source| GitError::Read { path: path.to_owned(), source })
}
