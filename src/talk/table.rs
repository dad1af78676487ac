//! Tables for people: columns as wide as they need to be, two blanks apart.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr;

use crate::escape::shown;

/// One cell.
pub type Cell<'c> = Cow<'c, str>;

/// The rows as lines; the last column is not padded.
pub fn render<const N: usize>(rows: &[[Cell<'_>; N]]) -> String {
    let rows: Vec<[Cow<'_, str>; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| shown(cell)))
        .collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let start = text.len();
        for (cell, width) in row.iter().zip(widths) {
            text.push_str(cell);
            let padding = width - cell.width() + 2;
            text.extend(std::iter::repeat_n(' ', padding));
        }
        let end = start + text[start..].trim_end().len();
        text.truncate(end);
        text.push('\n');
    }
    text
}

/// A span of seconds in its largest unit.
pub fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3_600 => format!("{}m", s / 60),
        s @ 3_600..86_400 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

/// For tests: the cells of each line.
#[cfg(test)]
pub fn cells(table: &str) -> Vec<Vec<&str>> {
    let mut lines = Vec::new();
    for line in table.lines() {
        let cells = line.split("  ").map(str::trim);
        lines.push(cells.filter(|cell| !cell.is_empty()).collect());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_control_characters_cannot_break_them() {
        let rows: [[Cell<'_>; 2]; 2] = [
            ["a".into(), "bc".into()],
            ["longer".into(), "\u{1b}[2J".into()],
        ];
        assert_eq!(render(&rows), "a       bc\nlonger  \\u{1b}[2J\n");
    }

    #[test]
    fn an_age_has_one_unit() {
        assert_eq!(
            [0, 61, 7_200, 90_000, -5].map(age),
            ["0s", "1m", "2h", "1d", "0s"]
        );
    }
}
