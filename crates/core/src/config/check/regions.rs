//! The regions of the file, and what cannot be said for several of them at once.

use std::collections::BTreeMap;

use super::*;
use crate::{config::Group, name::GroupName};

/// Where hosts are when the file does not say.
const USUAL: &str = "us-east-1";

impl Reader {
    /// Every region, at least one, each once.
    pub(super) fn regions(&mut self, file: &raw::File<'_>) -> Option<Vec<String>> {
        match (&file.region, &file.regions) {
            (None, None) => Some(vec![USUAL.to_owned()]),
            (Some(region), None) => Some(vec![self.region(region)?]),
            (None, Some(regions)) => self.several(regions),
            (Some(region), Some(regions)) => {
                let problem = Diagnostic::error(regions.key, "`region` and `regions` are both there");
                self.report(problem.related(region.key, "the other one").hint("keep one of them"));
                None
            }
        }
    }

    fn several(&mut self, entry: &Entry<'_>) -> Option<Vec<String>> {
        let mut seen = BTreeMap::new();
        let regions = self.list(entry, |reader, item| {
            let region = reader.region(item)?;
            if let Some(first) = seen.insert(region.clone(), item.place()) {
                let problem = Diagnostic::error(item.place(), format!("`{}` is there twice", shown(&region)));
                reader.report(problem.label("again").related(first, "first").hint("keep one of them"));
                return None;
            }
            Some(region)
        })?;
        if regions.is_empty() {
            self.expected(entry, "at least one AWS region such as `us-east-1`");
            return None;
        }
        Some(regions)
    }

    /// Subnets and machine images are of one region, and groups are in all of them.
    pub(super) fn refuse_what_is_of_one_region(&mut self, groups: &BTreeMap<GroupName, Group>) {
        for (name, group) in groups {
            for (key, is_there) in [("subnets", !group.subnets.is_empty()), ("ami", group.ami.is_some())] {
                let path = format!("groups.{name}.{key}");
                let Some(span) = self.spans.get(&path).copied().filter(|_| is_there) else { continue };
                let problem =
                    Diagnostic::error(span, format!("`{path}` is of one region, and `regions` names several"));
                self.report(problem.hint("leave it out, or use another file for each region"));
            }
        }
    }

    fn region(&mut self, entry: &Entry<'_>) -> Option<String> {
        let text = self.text(entry)?;
        let parts: Vec<&str> = text.split('-').collect();
        let is_word = |part: &&str| !part.is_empty() && part.chars().all(|char| char.is_ascii_lowercase());
        let is_number = |part: &str| matches!(part.len(), 1 | 2) && part.chars().all(|char| char.is_ascii_digit());
        match parts.split_last() {
            Some((number, words)) if is_number(number) && matches!(words.len(), 2 | 3) && words.iter().all(is_word) => {
                Some(text.to_owned())
            }
            _ => {
                self.expected(entry, "an AWS region such as `us-east-1`");
                None
            }
        }
    }
}
