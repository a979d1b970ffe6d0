//! What `clean` removed, as a table, and what that came to in each place.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::{text, words};
use crate::clean::{Cleaned, Place};

/// The columns, in order.
const COLUMNS: [&str; 4] = ["place", "service", "image", "size"];

/// The table, and below it one line for each place.
pub fn table(cleaned: &Cleaned) -> String {
    let mut lines: Vec<String> = Vec::new();
    if cleaned.places.iter().any(|place| !place.removed.is_empty()) {
        let mut drawn = Table::new();
        drawn.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        drawn.set_header(COLUMNS.map(str::to_uppercase));
        for row in cleaned.places.iter().flat_map(rows) {
            drawn.add_row(row.map(|cell| text::line(&cell)));
        }
        for column in drawn.column_iter_mut() {
            column.set_padding((0, 2));
        }
        if let Some(size) = drawn.column_mut(3) {
            size.set_cell_alignment(CellAlignment::Right);
        }
        lines.extend(drawn.lines().map(|line| line.trim_end().to_owned()));
    }
    lines.extend(cleaned.places.iter().map(|place| text::line(&sum(place))));
    lines.join("\n")
}

fn rows(place: &Place) -> impl Iterator<Item = [String; 4]> {
    place.removed.iter().map(|removed| {
        let services: Vec<&str> = removed.services.iter().map(AsRef::as_ref).collect();
        [place.name(), services.join(", "), removed.image.clone(), words::bytes(removed.size)]
    })
}

fn sum(place: &Place) -> String {
    let name = place.name();
    let count = usize::try_from(place.count()).unwrap_or(usize::MAX);
    let unnamed = match place.unnamed {
        0 => String::new(),
        unnamed => format!(" ({unnamed} of them are not named above)"),
    };
    match (count, place.failures.is_empty(), place.freed) {
        (0, true, _) => format!("{name}: nothing to remove"),
        (0, false, _) => format!("{name}: nothing was removed"),
        (_, _, None) => {
            format!("{name}: {} removed{unnamed}; how much room that made is not known", words::count(count, "image"))
        }
        (_, _, Some(freed)) => {
            format!("{name}: {} removed{unnamed}, {} freed", words::count(count, "image"), words::bytes(freed))
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;
    use crate::{clean::Removed, exit::Exit, failure::Failure};

    #[test]
    fn every_place_says_what_went_and_how_much_room_that_made() {
        let removed =
            |image: &str, size| Removed { services: vec!["web".parse().unwrap()], image: image.to_owned(), size };
        let host = |host: &str| Place { host: Some(host.parse().unwrap()), ..Place::default() };
        let cleaned = Cleaned {
            places: vec![
                Place { removed: vec![removed("ghcr.io/acme/web:v1", 1_234_567)], ..Place::default() },
                Place {
                    removed: vec![removed("ghcr.io/acme/web@sha256:12", 999)],
                    unnamed: 2,
                    freed: Some(0),
                    ..host("web_1")
                },
                host("web_2"),
                Place { failures: vec![Failure::new(Exit::Blocked, "it is away")], ..host("web_3") },
            ],
        };
        insta::assert_snapshot!(table(&cleaned));
        assert_eq!((cleaned.count(), cleaned.freed()), (4, Some(0)));
    }
}
