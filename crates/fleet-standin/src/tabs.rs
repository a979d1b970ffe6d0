//! Columns the way fleetctl prints them: separated by one *or more* tabs.

use std::fmt::Write as _;

/// Where a tab stop is.
const STOP: usize = 8;

/// Lays `rows` out in columns: every cell but the last of its row is followed by as many tabs as bring the
/// next column to the stop after the widest cell. Go's `text/tabwriter` with a padding of one and tabs to
/// pad with does that to rows of equal length.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let mut stops: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let stop = width(cell) / STOP + 1;
            match stops.get_mut(column) {
                Some(known) => *known = stop.max(*known),
                None => stops.push(stop),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            if column + 1 == row.len() {
                writeln!(text, "{cell}").ok();
            } else {
                let tabs = stops[column] - width(cell) / STOP;
                text.push_str(cell);
                text.extend(std::iter::repeat_n('\t', tabs));
            }
        }
    }
    text
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::columns;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect()
    }

    #[test]
    fn a_short_cell_under_a_long_one_is_followed_by_several_tabs() {
        let text = columns(&rows(&[&["UNIT", "HASH"], &["hello.service", "52e5660"]]));
        assert_eq!(text, "UNIT\t\tHASH\nhello.service\t52e5660\n");
    }

    #[test]
    fn a_cell_that_fills_its_column_to_the_stop_still_gets_a_tab() {
        let text = columns(&rows(&[&["12345678", "x"], &["1234567", "y"]]));
        assert_eq!(text, "12345678\tx\n1234567\t\ty\n");
    }
}
