//! Documents as a single HTML page: figures and style are embedded, and it loads nothing else.
//!
//! Except for its first line, the page is well-formed XML, so that a test can parse it. A policy in its head forbids
//! every request, whatever a text in it might be taken for.

use std::fmt::Write;
use std::io;

use super::document::{Block, CaptionedExhibit, Document};
use crate::text::harmless;

const STYLE: &str = include_str!("page.css");

/// Returns the text of `report.html`.
///
/// # Errors
/// A figure cannot be drawn.
pub fn text(document: &Document) -> io::Result<String> {
    let mut out = String::new();
    let title = escaped(&document.title);
    let note = escaped(&document.note);
    let _ = write!(
        out,
        "<!DOCTYPE html>\n\
         <html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; img-src data:\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <link rel=\"icon\" href=\"data:,\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p class=\"note\">{note}</p>\n"
    );
    contents(&mut out, document);
    for (index, section) in document.sections().iter().enumerate() {
        if !section.heading.is_empty() {
            let (level, heading) = (section.level, escaped(&section.heading));
            let _ = writeln!(out, "<h{level} id=\"s{index}\">{heading}</h{level}>");
        }
        for block in &section.blocks {
            match block {
                Block::Text(text) => {
                    let _ = writeln!(out, "<p>{}</p>", escaped(text));
                }
                Block::Code { caption, text } => {
                    let lines: Vec<String> = text.lines().map(escaped).collect();
                    let _ = writeln!(
                        out,
                        "<details><summary>{}</summary>\n<pre>{}</pre></details>",
                        escaped(caption),
                        lines.join("\n")
                    );
                }
                Block::Exhibit(exhibit) => write_exhibit(&mut out, exhibit)?,
            }
        }
    }
    out.push_str("</main>\n</body>\n</html>\n");
    Ok(out)
}

/// Writes the table of contents.
fn contents(out: &mut String, document: &Document) {
    let headed = document.sections().iter().enumerate();
    let headed: Vec<_> = headed.filter(|(_, s)| !s.heading.is_empty()).collect();
    if headed.len() < 2 {
        return;
    }
    out.push_str("<nav><details><summary>Contents</summary>\n<ul>\n");
    for (index, section) in headed {
        let _ = writeln!(
            out,
            "<li class=\"level{}\"><a href=\"#s{index}\">{}</a></li>",
            section.level,
            escaped(&section.heading)
        );
    }
    out.push_str("</ul></details></nav>\n");
}

fn write_exhibit(out: &mut String, exhibit: &CaptionedExhibit) -> io::Result<()> {
    out.push_str("<figure>\n");
    if let Some([broad, narrow]) = exhibit.pictures()? {
        let _ = writeln!(
            out,
            "<div class=\"picture broad\">{broad}</div>\n<div class=\"picture narrow\">{narrow}</div>"
        );
    }
    let view = exhibit.view();
    if exhibit.shown > 0 && !view.columns.is_empty() {
        out.push_str("<div class=\"wide\" tabindex=\"0\"><table>\n<thead><tr>");
        for column in &view.columns {
            let class = if column.words { " class=\"words\"" } else { "" };
            let _ = write!(
                out,
                "<th scope=\"col\"{class}>{}</th>",
                escaped(&column.heading)
            );
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        let rows = view.columns.iter().map(|c| c.cells.len()).min();
        for row in 0..rows.unwrap_or(0) {
            out.push_str("<tr>");
            for column in &view.columns {
                let class = if column.words { " class=\"words\"" } else { "" };
                let _ = write!(out, "<td{class}>{}</td>", escaped(&column.cells[row]));
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody></table></div>\n");
    }
    let mut caption = escaped(&exhibit.caption);
    if exhibit.shown > 0 && view.left_out > 0 {
        let _ = write!(caption, " {} more rows in the file.", view.left_out);
    }
    let _ = writeln!(
        out,
        "<figcaption>{caption} <a href=\"data/{name}.csv\">Numbers</a></figcaption>\n</figure>",
        name = exhibit.name
    );
    Ok(())
}

/// Escapes a text for HTML, on one line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in harmless(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::export::{Axis, Chart, Column, Exhibit, Figure, Series, Table};

    fn hostile(name: &str) -> Document {
        let mut document = Document::new(name);
        document.note = name.to_owned();
        document.section(name);
        document.text(name);
        document.code(name, name);
        let table = Table::new(name, vec![Column::text(name, vec![name.to_owned()])]).unwrap();
        document.table(name, name, table.clone(), 1);
        let figure = Figure {
            title: name.to_owned(),
            note: name.to_owned(),
            x: Axis::steps(),
            y: Axis::new(name, None),
            chart: Chart::Lines {
                x: vec![0.0, 1.0],
                series: vec![
                    Series {
                        name: name.to_owned(),
                        values: vec![1.0, 2.0],
                    };
                    2
                ],
            },
        };
        document.part(name);
        document.figure(name, name, Exhibit { table, figure });
        document
    }

    fn parse(page: &str) -> Result<roxmltree::Document<'_>, roxmltree::Error> {
        let options = roxmltree::ParsingOptions {
            allow_dtd: true,
            ..roxmltree::ParsingOptions::default()
        };
        roxmltree::Document::parse_with_options(page, options)
    }

    #[test]
    fn text_from_a_file_is_neither_markup_nor_a_request() {
        let name =
            "</pre></style><script src=\"http://x\">alert(1)</script><img src=x onerror='y'>";
        let page = text(&hostile(name)).unwrap();
        let page = parse(&page).unwrap();
        for node in page.descendants().filter(roxmltree::Node::is_element) {
            assert!(!["script", "img", "iframe", "object"].contains(&node.tag_name().name()));
            for attribute in node.attributes() {
                let name = attribute.name();
                assert!(!name.starts_with("on") && name != "src", "{name}");
                if name == "href" {
                    let value = attribute.value();
                    let ours = ["#", "data:", "data/"]
                        .iter()
                        .any(|it| value.starts_with(it));
                    assert!(ours, "{value}");
                }
            }
        }
        let heading = page.descendants().find(|n| n.has_tag_name("h1")).unwrap();
        assert_eq!(heading.text(), Some(name));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_text_makes_a_well_formed_page(name in any::<String>()) {
            let page = text(&hostile(&name)).unwrap();
            prop_assert!(parse(&page).is_ok(), "{page}");
        }
    }
}
