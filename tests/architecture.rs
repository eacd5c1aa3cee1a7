//! Who may import whom: the rules of docs/ARCHITECTURE.md, kept true by reading the `use` lines.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room of `src/`, and the rooms of ours that it may use.
const ROOMS: &[(&str, &[&str])] = &[
    ("layout", &[]),
    ("record", &["layout"]),
    ("analysis", &["record"]),
    ("data", &[]),
    ("model", &["layout"]),
    ("engine", &["data", "layout", "model"]),
    ("optim", &[]),
    ("lca", &["engine", "layout", "record"]),
    (
        "train",
        &[
            "data", "engine", "lca", "layout", "model", "optim", "record",
        ],
    ),
    ("control", &["train"]),
    ("store", &["layout", "record"]),
    ("query", &["analysis", "layout", "optim", "record", "store"]),
    ("feed", &["control", "query", "record", "store", "train"]),
    (
        "app",
        &["analysis", "feed", "layout", "query", "record", "train"],
    ),
    (
        "tui",
        &[
            "analysis", "app", "feed", "key_name", "layout", "query", "record",
        ],
    ),
    ("key_name", &[]),
    ("state", &[]),
    ("export", &["analysis"]),
    (
        "sheet",
        &["analysis", "export", "layout", "query", "record", "store"],
    ),
    (
        "report",
        &[
            "analysis", "export", "layout", "query", "record", "sheet", "store",
        ],
    ),
    (
        "config",
        &[
            "data", "engine", "key_name", "lca", "model", "optim", "store", "train", "tui",
        ],
    ),
    (
        "experiment",
        &[
            "analysis", "config", "data", "export", "model", "optim", "record", "report", "store",
        ],
    ),
    ("cli", &["config", "export", "sheet", "tui"]),
    (
        "session",
        &[
            "app",
            "cli",
            "config",
            "control",
            "data",
            "engine",
            "experiment",
            "export",
            "feed",
            "lca",
            "model",
            "optim",
            "record",
            "report",
            "sheet",
            "state",
            "store",
            "train",
            "tui",
        ],
    ),
];

/// Libraries that only these rooms may name. The candle engine is one folder of its room.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("hdf5", &["store"]),
    ("ratatui", &["tui"]),
    ("crossterm", &["tui"]),
    ("candle_core", &["engine"]),
    ("candle_nn", &["engine"]),
    ("clap", &["cli", "config", "session"]),
    ("tiny_skia", &["export"]),
    ("ab_glyph", &["export"]),
    ("etcetera", &["config", "state"]),
    ("indicatif", &["session"]),
    ("signal_hook", &["session", "tui"]),
    (
        "crossbeam_channel",
        &["control", "feed", "session", "store", "train", "tui"],
    ),
];

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

/// The room of a file, its code without comments and without its tests, nor files that are for tests.
fn rooms() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&src, &mut found);
    found
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&src).unwrap();
            let first = inside
                .components()
                .next()
                .unwrap()
                .as_os_str()
                .to_str()
                .unwrap();
            let room = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let code = lines.collect::<Vec<_>>().join("\n");
            (room, path, code)
        })
        .filter(|(room, path, _)| {
            let for_tests = path
                .iter()
                .any(|part| part == "testing" || part == "testing.rs");
            room != "main" && room != "lib" && !for_tests
        })
        .collect()
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
fn every_room_imports_only_what_it_may() {
    let rooms = rooms();
    assert!(rooms.len() > 40, "the scan finds the files");
    for (room, path, code) in &rooms {
        let (_, allowed) = (ROOMS.iter().find(|(name, _)| name == room))
            .unwrap_or_else(|| panic!("{room} has no rule: add it here and to the document"));
        for other in named_after(code, "crate::") {
            let known = ROOMS.iter().any(|(name, _)| *name == other);
            assert!(
                !known || other == room || allowed.contains(&other),
                "{}: {room} may not import {other}",
                path.display()
            );
        }
    }
}

#[test]
fn libraries_stay_in_their_rooms() {
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
    fn reaches(from: &str, to: &str, depth: usize) -> bool {
        let (_, uses) = ROOMS.iter().find(|(name, _)| *name == from).unwrap();
        depth > 0
            && uses
                .iter()
                .any(|next| *next == to || reaches(next, to, depth - 1))
    }
    for (room, _) in ROOMS {
        assert!(
            !reaches(room, room, ROOMS.len()),
            "{room} depends on itself"
        );
    }
}
