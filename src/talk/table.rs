//! Tables for people: columns as wide as they need to be, two blanks apart.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr;

use crate::escape::shown;

/// How many blanks are between two columns.
const BETWEEN: usize = 2;

/// One cell.
pub type Cell<'c> = Cow<'c, str>;

/// The rows as lines; the last column is not padded.
pub fn render<'c, R: AsRef<[Cell<'c>]>>(rows: &[R]) -> String {
    let rows: Vec<Vec<_>> = rows
        .iter()
        .map(|row| row.as_ref().iter().map(|cell| shown(cell)).collect())
        .collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let start = text.len();
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(cell);
            let padding = width - cell.width() + BETWEEN;
            text.extend(std::iter::repeat_n(' ', padding));
        }
        let end = start + text[start..].trim_end().len();
        text.truncate(end);
        text.push('\n');
    }
    text
}

/// One column of a table that has to fit.
pub struct Column<'c> {
    /// What stands above it.
    pub head: &'static str,
    /// How much it is needed; that with the lowest number is left out first, and one without a number never.
    pub rank: Option<u8>,
    /// One for each row.
    pub cells: Vec<Cell<'c>>,
}

/// The columns as a table that is no wider than this, as far as those allow that are never left out.
pub fn fitting(mut columns: Vec<Column<'_>>, width: Option<usize>) -> String {
    while let Some(width) = width
        && is_wider(&columns, width)
        && let Some(least) = least(&columns)
    {
        columns.remove(least);
    }
    let heads = columns.iter().map(|it| Cell::from(it.head)).collect();
    let count = columns.first().map_or(0, |it| it.cells.len());
    let mut rows: Vec<Vec<_>> = vec![heads];
    rows.extend((0..count).map(|row| columns.iter().map(|it| it.cells[row].clone()).collect()));
    render(&rows)
}

fn is_wider(columns: &[Column<'_>], width: usize) -> bool {
    let widest = |column: &Column<'_>| {
        let cells = column.cells.iter().map(|cell| shown(cell).width());
        cells.chain([column.head.width()]).max().unwrap_or(0)
    };
    let all: usize = columns.iter().map(widest).sum();
    all + BETWEEN * columns.len().saturating_sub(1) > width
}

/// The column that is needed least.
fn least(columns: &[Column<'_>]) -> Option<usize> {
    let ranked = columns.iter().enumerate();
    let ranked = ranked.filter_map(|(at, column)| Some((column.rank?, at)));
    ranked.min().map(|(_, at)| at)
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
    fn what_is_needed_least_is_left_out_until_the_rest_fits() {
        let column = |head, rank, cell: &'static str| Column {
            head,
            rank,
            cells: vec![cell.into()],
        };
        let columns = || {
            vec![
                column("NAME", None, "lace-x"),
                column("A", Some(2), "aaaa"),
                column("LONG", Some(1), "l"),
                column("B", Some(3), "漢"),
            ]
        };
        let heads = |width| {
            let text = fitting(columns(), width);
            text.lines().next().unwrap().to_owned()
        };
        assert_eq!(
            fitting(columns(), None),
            "NAME    A     LONG  B\nlace-x  aaaa  l     漢\n"
        );
        assert_eq!(heads(Some(22)), "NAME    A     LONG  B");
        assert_eq!(heads(Some(21)), "NAME    A     B");
        assert_eq!(heads(Some(16)), "NAME    A     B");
        assert_eq!(heads(Some(15)), "NAME    B");
        assert_eq!(heads(Some(9)), "NAME");
        assert_eq!(heads(Some(1)), "NAME");
    }

    #[test]
    fn an_age_has_one_unit() {
        assert_eq!(
            [0, 61, 7_200, 90_000, -5].map(age),
            ["0s", "1m", "2h", "1d", "0s"]
        );
    }
}
