//! Documents as Markdown, with their figures as separate files.

use std::fmt::{self, Write};

use super::document::{Block, CaptionedExhibit, Document};
use crate::text::harmless;

/// Returns the text of `report.md`.
pub fn text(document: &Document) -> String {
    let mut out = String::new();
    // Writing to a `String` cannot fail.
    let _ = write_document(&mut out, document);
    out
}

fn write_document(out: &mut String, document: &Document) -> fmt::Result {
    writeln!(out, "# {}", escaped(&document.title))?;
    if !document.note.is_empty() {
        writeln!(out, "\n{}", escaped(&document.note))?;
    }
    for section in document.sections() {
        if !section.heading.is_empty() {
            let marks = "#".repeat(section.level.into());
            writeln!(out, "\n{marks} {}", escaped(&section.heading))?;
        }
        for block in &section.blocks {
            out.push('\n');
            match block {
                Block::Text(text) => writeln!(out, "{}", escaped(text))?,
                Block::Code { caption, text } => write_code(out, caption, text)?,
                Block::Exhibit(exhibit) => write_exhibit(out, exhibit)?,
            }
        }
    }
    Ok(())
}

fn write_code(out: &mut String, caption: &str, text: &str) -> fmt::Result {
    if !caption.is_empty() {
        writeln!(out, "{}\n", escaped(caption))?;
    }
    // Indented, since no text can end an indented block.
    for line in text.lines() {
        writeln!(out, "    {}", harmless(line))?;
    }
    Ok(())
}

fn write_exhibit(out: &mut String, exhibit: &CaptionedExhibit) -> fmt::Result {
    let name = &exhibit.name;
    if let Some(figure) = &exhibit.figure {
        writeln!(out, "![{}](figures/{name}.svg)\n", escaped(&figure.title))?;
    }
    let view = exhibit.view();
    if exhibit.shown > 0 && !view.columns.is_empty() {
        let headings = view.columns.iter().map(|column| escaped(&column.heading));
        writeln!(out, "| {} |", headings.collect::<Vec<_>>().join(" | "))?;
        let rules = view
            .columns
            .iter()
            .map(|column| if column.words { "---" } else { "---:" });
        writeln!(out, "| {} |", rules.collect::<Vec<_>>().join(" | "))?;
        let rows = view.columns.iter().map(|c| c.cells.len()).min();
        for row in 0..rows.unwrap_or(0) {
            let cells = view
                .columns
                .iter()
                .map(|column| escaped(&column.cells[row]));
            writeln!(out, "| {} |", cells.collect::<Vec<_>>().join(" | "))?;
        }
        out.push('\n');
    }
    if !exhibit.caption.is_empty() {
        write!(out, "{} ", escaped(&exhibit.caption))?;
    }
    writeln!(out, "[Numbers](data/{name}.csv)")
}

/// Escapes a text for Markdown, on one line.
fn escaped(text: &str) -> String {
    let text = harmless(text);
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        let special = matches!(
            c,
            '\\' | '`'
                | '*'
                | '_'
                | '['
                | ']'
                | '<'
                | '>'
                | '|'
                | '#'
                | '&'
                | '~'
                | '$'
                | '{'
                | '}'
        );
        let leading = at == 0 && matches!(c, '-' | '+' | '=' | '!' | ':');
        if special || leading {
            out.push('\\');
        }
        out.push(c);
    }
    // A number and a full stop at the start would begin a list.
    let digits = out.chars().take_while(char::is_ascii_digit).count();
    let after = out.as_bytes().get(digits + 1);
    let list =
        matches!(out.as_bytes().get(digits), Some(b'.' | b')')) && after.is_none_or(|c| *c == b' ');
    if digits > 0 && list {
        out.insert(digits, '\\');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{Column, Table};

    #[test]
    fn text_from_a_file_is_not_markup() {
        for (text, expected) in [
            ("a|b", "a\\|b"),
            ("![x](http://y)", "\\!\\[x\\](http://y)"),
            ("<script>", "\\<script\\>"),
            ("1. one", "1\\. one"),
            ("1.5 ± 0.1", "1.5 ± 0.1"),
            ("- x\n# y", "\\- x \\# y"),
            ("`a`*b*_c_", "\\`a\\`\\*b\\*\\_c\\_"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn a_document_has_its_parts_in_order() {
        let mut document = Document::new("Two runs");
        document.note = "written today".to_owned();
        document.section("Loss");
        document.text("It falls.");
        document.part("Numbers");
        let columns = vec![
            Column::text("layer", vec!["a|b".to_owned(), "c".to_owned()]),
            Column::f64("lca", Some("nats"), vec![-0.5, f64::NAN]),
        ];
        document.table("totals", "By layer.", Table::new("t", columns).unwrap(), 1);
        document.code("Configuration:", "a = 1\n```\nb = 2");
        let expected = "# Two runs\n\nwritten today\n\n## Loss\n\nIt falls.\n\n### Numbers\n\n\
                        | layer | lca (nats) |\n| --- | ---: |\n| a\\|b | −0.5 |\n\n\
                        By layer. [Numbers](data/totals.csv)\n\n\
                        Configuration:\n\n    a = 1\n    ```\n    b = 2\n";
        assert_eq!(text(&document), expected);
    }
}
