//! Compares docs/ARCHITECTURE.md with the code: which module imports which, the names of threads, and that everything
//! it names exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn document() -> String {
    fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap()
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The words between backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Each module in the document's table, with the modules of ours that it may use.
fn table(document: &str) -> BTreeMap<String, BTreeSet<String>> {
    let (_, map) = document.split_once("## Code map").unwrap();
    let (map, _) = map.split_once("\n## ").unwrap();
    let rows: Vec<Vec<&str>> = (map.lines())
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').collect())
        .collect();
    let rooms: BTreeSet<String> = rows.iter().flat_map(|row| quoted(row[0])).collect();
    let row = |row: &Vec<&str>| {
        let [room, _, uses] = row[..] else {
            panic!("three columns: {row:?}")
        };
        let uses = match uses.trim() {
            "nothing of ours" => BTreeSet::new(),
            "everything" => rooms.clone(),
            uses => quoted(&without_remarks(uses)),
        };
        (quoted(room).into_iter().next().unwrap(), uses)
    };
    rows.iter().map(row).collect()
}

/// Removes text in brackets.
fn without_remarks(text: &str) -> String {
    let mut depth = 0;
    let outside = |c: &char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => return depth == 0,
        }
        false
    };
    text.chars().filter(outside).collect()
}

/// Libraries that only these modules may name. The candle engine is one folder of its module.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("hdf5", &["store"]),
    ("ratatui", &["tui"]),
    ("crossterm", &["tui"]),
    ("candle_core", &["engine"]),
    ("candle_nn", &["engine"]),
    ("clap", &["cli", "config"]),
    ("tiny_skia", &["export"]),
    ("ab_glyph", &["export"]),
    ("etcetera", &["config", "runs", "view_files"]),
    ("indicatif", &["supervise"]),
    ("ferrompi", &["cluster"]),
    ("signal_hook", &["commands", "supervise", "tui"]),
    (
        "crossbeam_channel",
        &[
            "control",
            "feed",
            "protocol",
            "store",
            "supervise",
            "train",
            "trajectory",
            "tui",
        ],
    ),
];

/// Source folders of the two packages. `lcascope` re-exports the modules of `core`, so that together they are one tree.
const SOURCES: [&str; 2] = ["src", "core/src"];

/// All source files: their paths below their source folders, and from the root.
pub fn sources() -> Vec<(PathBuf, PathBuf)> {
    let mut found = Vec::new();
    for folder in SOURCES.map(|folder| root().join(folder)) {
        let mut paths = Vec::new();
        files(&folder, &mut paths);
        let inside = |path: &Path| path.strip_prefix(&folder).unwrap().to_owned();
        found.extend(paths.into_iter().map(|path| (inside(&path), path)));
    }
    found
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The module of each file, with its code without comments and tests, excluding files only for tests.
fn rooms() -> Vec<(String, PathBuf, String)> {
    let for_tests = |inside: &PathBuf| {
        let mut parts = inside.iter().map(|part| part.to_string_lossy());
        parts.any(|part| part.starts_with("testing") || part.ends_with("tests.rs"))
    };
    let room = |(inside, path): (PathBuf, PathBuf)| {
        let first = inside.iter().next().unwrap().to_string_lossy();
        let room = first.trim_end_matches(".rs").to_owned();
        let code = without_tests(&fs::read_to_string(&path).unwrap());
        (room, path, code)
    };
    let found = sources().into_iter();
    found
        .filter(|(inside, _)| !for_tests(inside))
        .map(room)
        .filter(|(room, ..)| room != "main" && room != "lib")
        .collect()
}

/// Removes comments and items only for tests.
pub fn without_tests(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let plain = line.trim_start();
        if plain.starts_with("//") {
            continue;
        }
        if plain != "#[cfg(test)]" {
            code.push_str(line);
            code.push('\n');
            continue;
        }
        // To the end of the item: a line with its semicolon, or the closing bracket below its first letter.
        let end = format!("{}}}", &line[..line.len() - plain.len()]);
        let mut item = lines
            .by_ref()
            .skip_while(|line| line.trim_start().starts_with("#["));
        let first = item.next().unwrap_or_default();
        if !first.ends_with(';') && !first.ends_with('}') {
            item.find(|line| *line == end);
        }
    }
    code
}

/// Identifiers that follow `prefix` in the code.
fn named_after<'a>(code: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let ends = |c: char| !(c.is_alphanumeric() || c == '_');
    code.match_indices(prefix)
        .map(|(at, _)| &code[at + prefix.len()..])
        .map(|rest| rest.split(ends).next().unwrap_or_default())
        .collect()
}

#[test]
fn every_module_imports_what_the_document_lists() {
    let table = table(&document());
    let rooms = rooms();
    assert!(rooms.len() > 40, "the scan finds the files");
    let there: BTreeSet<&String> = rooms.iter().map(|(room, ..)| room).collect();
    assert_eq!(there, table.keys().collect(), "a row for every room");
    let mut used: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (room, path, code) in &rooms {
        let path = path.display();
        assert!(!code.contains("crate::{"), "{path}: a line for each room");
        for other in named_after(code, "crate::") {
            let known = table.contains_key(other) && other != room;
            assert!(
                !known || table[room].contains(other),
                "{path}: {room} may not import {other}"
            );
            if known {
                used.entry(room).or_default().insert(other.to_owned());
            }
        }
    }
    for (room, allowed) in &table {
        let used = used.remove(room.as_str()).unwrap_or_default();
        // The composition root may import everything.
        let everything = allowed.len() == table.len();
        assert!(
            everything || *allowed == used,
            "{room} imports {used:?}, the document says {allowed:?}"
        );
    }
}

#[test]
fn thread_names_match_the_document() {
    let document = document();
    let (_, bullet) = document.split_once("- **Threads have names").unwrap();
    let (bullet, _) = bullet.split_once("\n\n").unwrap();
    let said = quoted(bullet);
    let mut named = BTreeSet::new();
    for (_, _, code) in &rooms() {
        for (at, start) in code.match_indices(".name(\"") {
            let rest = &code[at + start.len()..];
            named.insert(rest.split('"').next().unwrap().to_owned());
        }
    }
    assert_eq!(named, said);
}

#[test]
fn names_in_the_document_exist() {
    let document = document();
    let code: String = rooms().into_iter().map(|(_, _, code)| code).collect();
    for name in quoted(&document) {
        let is_file = Path::new(&name).extension().is_some_and(|end| end == "rs");
        let is_there = |folder: &str| root().join(folder).join(&name).exists();
        let from_root = is_there("") || SOURCES.iter().any(|folder| is_there(folder));
        assert!(
            !is_file || name.matches('/').count() == 0 || from_root,
            "no {name}"
        );
    }
    // Types, also in the picture at the top.
    let words = document.split(|c: char| !c.is_alphanumeric() && c != '_');
    let camel = |word: &&str| {
        let upper = word.chars().filter(char::is_ascii_uppercase).count();
        let lower = word.chars().any(|c| c.is_ascii_lowercase());
        upper > 1 && lower && word.starts_with(|c: char| c.is_ascii_uppercase())
    };
    // Names from elsewhere.
    let foreign = ["PyTorch", "ReLU"];
    for word in words.filter(camel).filter(|word| !foreign.contains(word)) {
        assert!(code.contains(word), "no {word} in the code");
    }
}

#[test]
fn libraries_are_named_only_in_their_modules() {
    for (room, path, code) in &rooms() {
        for (library, homes) in LIBRARIES {
            let names_it = code.contains(&format!("{library}::"));
            assert!(
                !names_it || homes.contains(&room.as_str()),
                "{}: {library} is for {homes:?} only",
                path.display()
            );
            let is_candle = library.starts_with("candle");
            let folder = path.parent().unwrap();
            let error = path.ends_with("engine/mod.rs");
            assert!(
                !names_it || !is_candle || error || folder.ends_with("engine/candle"),
                "{}: candle is for engine/candle/ (and its error)",
                path.display()
            );
        }
    }
}

#[test]
fn the_rules_have_no_circles() {
    let mut left = table(&document());
    // Nothing imports the composition root, which may import everything.
    left.remove("commands");
    while !left.is_empty() {
        let names: BTreeSet<String> = left.keys().cloned().collect();
        let before = left.len();
        left.retain(|_, uses| !uses.is_disjoint(&names));
        assert!(left.len() < before, "a circle among {names:?}");
    }
}
