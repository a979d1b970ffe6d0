//! The volumes of a service: named ones alone, each at a path of its own in the container.

use super::*;
use crate::config::Volume;

impl Reader {
    /// The volumes of a service, no two at one path, and none at one of those that are `taken` by something else.
    pub(super) fn volumes(&mut self, entry: &Entry<'_>, taken: &[(&str, &str)]) -> Option<Vec<Volume>> {
        let mut known: Vec<(String, Span)> = Vec::new();
        self.list(entry, |reader, item| {
            let volume = reader.volume(item)?;
            let place = item.place();
            if let Some((_, first)) = known.iter().find(|(path, _)| *path == volume.path) {
                let problem = Diagnostic::error(place, format!("two volumes are at `{}`", volume.path));
                reader.report(problem.label("again").related(*first, "first").hint("leave one of them out"));
                return None;
            }
            if let Some((path, by)) = taken.iter().find(|(path, _)| *path == volume.path) {
                let problem = Diagnostic::error(place, format!("a volume cannot be at `{path}`, where {by} is"));
                reader.report(problem.hint("give it another path"));
                return None;
            }
            known.push((volume.path.clone(), place));
            Some(volume)
        })
    }

    /// `NAME:PATH`, `NAME:PATH:ro` or `NAME:PATH:rw`, as in the Compose specification.
    fn volume(&mut self, entry: &Entry<'_>) -> Option<Volume> {
        let text = self.text(entry)?;
        let mut parts = text.split(':');
        let (name, path, access) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        if name.starts_with(['/', '.', '~']) {
            let problem = Diagnostic::error(entry.place(), format!("`{}` is not a named volume", shown(text)));
            self.report(problem.label("a folder of the host, which every host would have to have").hint(
                "write `NAME:PATH`, such as `data:/var/lib/data`; what the image needs is copied by its Dockerfile",
            ));
            return None;
        }
        let read_only = match access {
            None | Some("rw") => false,
            Some("ro") => true,
            Some(_) => return self.no_volume(entry),
        };
        let Some(path) = path.filter(|path| parts.next().is_none() && scalar::is_path(path)) else {
            return self.no_volume(entry);
        };
        let name = self.parse_text(name, entry.place(), "the name of a volume")?;
        Some(Volume { name, path: path.to_owned(), read_only })
    }

    fn no_volume(&mut self, entry: &Entry<'_>) -> Option<Volume> {
        let kind = "`NAME:PATH` or `NAME:PATH:ro`, with a whole path of letters, digits, `.`, `_` and `-` such as `data:/var/lib/data`";
        self.expected(entry, kind);
        None
    }
}
