//! Tables for people: columns as wide as they need to be, two blanks apart.

use crate::change::shown;

/// The rows as lines; the last column is not padded.
pub fn render<const N: usize>(rows: Vec<[String; N]>) -> String {
    let rows: Vec<[String; N]> = rows
        .into_iter()
        .map(|row| row.map(|cell| shown(&cell)))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_control_characters_cannot_break_them() {
        let rows = vec![
            ["a".to_owned(), "bc".to_owned()],
            ["longer".to_owned(), "\u{1b}[2J".to_owned()],
        ];
        assert_eq!(render(rows), "a       bc\nlonger  \\u{1b}[2J\n");
    }

    #[test]
    fn an_age_has_one_unit() {
        assert_eq!(
            [0, 61, 7_200, 90_000, -5].map(age),
            ["0s", "1m", "2h", "1d", "0s"]
        );
    }
}
