//! The build context as a stream of tar, of which only a few chunks are in memory at any time.

use std::io::{self, BufWriter, Write};

use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinHandle};

use super::context::{Context, ContextError, Entry, Kind};

/// Bytes of one chunk.
const CHUNK: usize = 64 * 1024;
/// Chunks that wait to be sent; with [`CHUNK`], what a context of any size takes of the memory.
const CHUNKS_WAITING: usize = 8;

/// A context on its way.
pub(super) struct Archive {
    /// The tar's bytes; an error in it breaks the request off.
    pub chunks: mpsc::Receiver<io::Result<Bytes>>,
    /// Ends with the reason when the context cannot be read wholly.
    pub packing: JoinHandle<Result<(), ContextError>>,
}

/// Starts packing a context. The same files give the same bytes: sorted, times zeroed, owned by root.
pub(super) fn pack(context: Context) -> Archive {
    let (sender, chunks) = mpsc::channel(CHUNKS_WAITING);
    let packing = tokio::task::spawn_blocking(move || {
        let packed = pack_into(&context, &sender);
        if packed.is_err() {
            // Without it the engine would take a broken-off archive for a whole one.
            let _ = sender.blocking_send(Err(io::Error::other("the build context cannot be read")));
        }
        packed
    });
    Archive { chunks, packing }
}

fn pack_into(context: &Context, sender: &mpsc::Sender<io::Result<Bytes>>) -> Result<(), ContextError> {
    let mut tar = tar::Builder::new(BufWriter::with_capacity(CHUNK, Sending(sender)));
    context.walk(&mut |entry| {
        append(context, entry, &mut tar).map_err(|source| match sender.is_closed() {
            true => ContextError::Abandoned,
            false => ContextError::Read { path: entry.path.clone(), source },
        })
    })?;
    tar.into_inner().and_then(|mut buffer| buffer.flush()).map_err(|_| ContextError::Abandoned)
}

fn append<W: Write>(context: &Context, entry: &Entry, tar: &mut tar::Builder<W>) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    match &entry.kind {
        Kind::Folder => {
            header.set_entry_type(tar::EntryType::Directory);
            tar.append_data(&mut header, &entry.path, io::empty())
        }
        Kind::File(size) => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(*size);
            tar.append_data(&mut header, &entry.path, context.open_file(&entry.path, *size)?)
        }
        Kind::Link(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, &entry.path, target)
        }
    }
}

/// Sends what is written, waiting while too much is on its way.
struct Sending<'a>(&'a mpsc::Sender<io::Result<Bytes>>);

impl Write for Sending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = &bytes[..bytes.len().min(CHUNK)];
        self.0.blocking_send(Ok(Bytes::copy_from_slice(chunk))).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::docker::testing::{build_of, folder_of};

    async fn packed(context: Context) -> Vec<u8> {
        let mut archive = pack(context);
        let mut bytes = Vec::new();
        while let Some(chunk) = archive.chunks.recv().await {
            bytes.extend_from_slice(&chunk.unwrap());
        }
        archive.packing.await.unwrap().unwrap();
        bytes
    }

    #[tokio::test]
    async fn the_archive_holds_files_modes_links_and_long_names_and_nothing_of_the_machine() {
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
        let folder = folder_of(&[("Dockerfile", "FROM scratch"), ("run.sh", "#!/bin/sh"), (&long, "long")]);
        fs::set_permissions(folder.path().join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("run.sh", folder.path().join("start")).unwrap();
        let bytes = packed(Context::open(&build_of(&folder)).unwrap()).await;
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut contents = String::new();
            io::Read::read_to_string(&mut entry, &mut contents).unwrap();
            let header = entry.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
            let link = entry.link_name().unwrap().map(|target| target.display().to_string());
            found.push((
                entry.path().unwrap().display().to_string(),
                header.mode().unwrap() & 0o111 != 0,
                link,
                contents,
            ));
        }
        assert!(found.contains(&("run.sh".into(), true, None, "#!/bin/sh".into())));
        assert!(found.contains(&("start".into(), true, Some("run.sh".into()), String::new())));
        assert!(found.contains(&(long, false, None, "long".into())));

        filetime_of(&folder, "run.sh");
        assert_eq!(
            packed(Context::open(&build_of(&folder)).unwrap()).await,
            bytes,
            "another time gives the same bytes"
        );
    }

    fn filetime_of(folder: &tempfile::TempDir, name: &str) {
        let file = fs::File::options().write(true).open(folder.path().join(name)).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
    }

    #[tokio::test]
    async fn a_context_of_a_gibibyte_is_never_in_memory() {
        const SIZE: u64 = 1 << 30;
        let folder = folder_of(&[("Dockerfile", "FROM scratch")]);
        fs::File::create(folder.path().join("large")).unwrap().set_len(SIZE).unwrap();
        let mut archive = pack(Context::open(&build_of(&folder)).unwrap());
        let (mut sent, mut most) = (0, 0);
        while let Some(chunk) = archive.chunks.recv().await {
            let chunk = chunk.unwrap();
            assert!(chunk.len() <= CHUNK);
            most = most.max(archive.chunks.len() + 1);
            sent += chunk.len() as u64;
        }
        archive.packing.await.unwrap().unwrap();
        assert!(sent > SIZE);
        assert!(most <= CHUNKS_WAITING + 1, "{most} chunks of {CHUNK} bytes were in memory");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_packed_breaks_the_stream_off_and_is_named() {
        let folder = folder_of(&[("Dockerfile", "FROM scratch"), ("large", "")]);
        let context = Context::open(&build_of(&folder)).unwrap();
        fs::File::create(folder.path().join("large")).unwrap().set_len(1 << 24).unwrap();
        let mut archive = pack(context);
        archive.chunks.recv().await.unwrap().unwrap();
        // It shrinks while most of it is yet to be read.
        fs::File::create(folder.path().join("large")).unwrap();
        let mut last = None;
        while let Some(chunk) = archive.chunks.recv().await {
            last = Some(chunk);
        }
        assert!(last.unwrap().is_err());
        assert_eq!(archive.packing.await.unwrap().unwrap_err().to_string(), "read `large` of the build context");
    }

    #[tokio::test]
    async fn packing_ends_when_nobody_takes_the_archive() {
        let folder = folder_of(&[("Dockerfile", "FROM scratch")]);
        fs::File::create(folder.path().join("large")).unwrap().set_len(1 << 40).unwrap();
        let Archive { chunks, packing } = pack(Context::open(&build_of(&folder)).unwrap());
        drop(chunks);
        assert!(matches!(packing.await.unwrap(), Err(ContextError::Abandoned)));
    }
}
