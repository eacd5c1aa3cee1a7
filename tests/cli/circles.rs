//! No files of the two packages import each other in a circle; and no rooms, with their tests.
//!
//! A module's `mod.rs` may use the files below it, and they what it defines: it is the face of its folder. A name that
//! it re-exports counts as imported from the file that defines it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::architecture::{sources, without_tests};

type Module = Vec<String>;

/// The code of every module, without comments, and with or without tests.
fn modules(tests: bool) -> BTreeMap<Module, String> {
    let module = |inside: &Path| -> Module {
        let inside = inside.with_extension("");
        let mut names: Module = inside
            .iter()
            .map(|n| n.to_string_lossy().into_owned())
            .collect();
        names.pop_if(|last| last == "mod");
        names
    };
    let code = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        if tests {
            let lines = text.lines().map(str::trim_start);
            let code = lines.filter(|line| !line.starts_with("//"));
            code.flat_map(|line| [line, "\n"]).collect()
        } else {
            without_tests(&text)
        }
    };
    let of_tests = |name: &String| name.starts_with("testing") || name.ends_with("tests");
    sources()
        .iter()
        .map(|(inside, path)| (module(inside), code(path)))
        .filter(|(module, _)| !["lib", "main"].contains(&module[0].as_str()))
        .filter(|(module, _)| tests || !module.iter().any(of_tests))
        .collect()
}

/// Splits `a::{b, c::d}` into the paths `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, inside)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.trim().to_owned()];
    };
    let inside = &inside[..inside.rfind('}').unwrap()];
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in inside.chars() {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        match c {
            ',' if depth == 0 => parts.push(String::new()),
            c => parts.last_mut().unwrap().push(c),
        }
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    let whole = |path: String| format!("{}{path}", before.trim());
    parts.flat_map(|part| paths(part)).map(whole).collect()
}

/// The paths that a module's code names, and those that it re-exports, by their last names.
fn names(code: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let (mut used, mut exported) = (Vec::new(), BTreeMap::new());
    let mut body = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let plain = line.trim_start();
        let (visibility, rest) = match plain.split_once("use ") {
            Some((before, rest)) if before.is_empty() || before.starts_with("pub") => {
                (before, rest)
            }
            _ => {
                body += line;
                body.push('\n');
                continue;
            }
        };
        let mut tree = rest.to_owned();
        while !tree.contains(';') {
            tree += lines.next().unwrap_or(";");
        }
        for path in paths(tree.split(';').next().unwrap()) {
            if visibility.is_empty() {
                used.push(path);
            } else {
                let last = path.rsplit("::").find(|name| *name != "self");
                exported.insert(last.unwrap().to_owned(), path);
            }
        }
    }
    let in_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = body.split(|c| !in_path(c));
    used.extend(words.filter(|word| word.contains("::")).map(str::to_owned));
    (used, exported)
}

struct House {
    used: BTreeMap<Module, Vec<String>>,
    exported: BTreeMap<Module, BTreeMap<String, String>>,
}

impl House {
    fn of(modules: &BTreeMap<Module, String>) -> Self {
        assert!(modules.len() > 200, "the scan finds the files");
        let mut house = Self {
            used: BTreeMap::new(),
            exported: BTreeMap::new(),
        };
        for (module, code) in modules {
            let (used, exported) = names(code);
            house.used.insert(module.clone(), used);
            house.exported.insert(module.clone(), exported);
        }
        house
    }

    /// Each module's imports, except from the files below it.
    fn imports(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let imports = |(module, used): (&Module, &Vec<String>)| {
            let homes = used.iter().filter_map(|path| self.home(module, path, 0));
            let others = homes.filter(|home| !home.starts_with(module));
            let known = others.filter(|home| self.used.contains_key(home));
            (module.clone(), known.collect())
        };
        let all: BTreeMap<_, BTreeSet<_>> = self.used.iter().map(imports).collect();
        let edges: usize = all.values().map(BTreeSet::len).sum();
        assert!(edges > 500, "the scan finds the imports: {edges}");
        all
    }

    /// The module that defines what `path` names in `module`, if it is one of ours.
    fn home(&self, module: &[String], path: &str, depth: usize) -> Option<Module> {
        let mut at = module.to_vec();
        let mut names = path.split("::").peekable();
        match *names.peek()? {
            "crate" => at.clear(),
            "self" | "super" => {}
            first => {
                let child = [module, &[first.to_owned()]].concat();
                self.used.get(&child)?;
            }
        }
        while let Some(&name) = names.peek() {
            let inner = [&at[..], &[name.to_owned()]].concat();
            match name {
                "crate" | "self" => {}
                "super" => drop(at.pop()),
                _ if self.used.contains_key(&inner) => at = inner,
                _ => break,
            }
            names.next();
        }
        let exported = names
            .next()
            .and_then(|name| self.exported.get(&at)?.get(name));
        match exported {
            Some(path) if depth < 8 => self.home(&at, path, depth + 1).or(Some(at)),
            _ => Some(at).filter(|at| !at.is_empty()),
        }
    }
}

/// Refuses imports in a circle.
fn has_no_circles(mut left: BTreeMap<Module, BTreeSet<Module>>) {
    // Take away what imports none of the rest, then what none of the rest imports.
    loop {
        let before = left.len();
        let rest: BTreeSet<Module> = left.keys().cloned().collect();
        left.retain(|_, imports| !imports.is_disjoint(&rest));
        let imported: BTreeSet<Module> = left.values().flatten().cloned().collect();
        left.retain(|module, _| imported.contains(module));
        if left.len() == before {
            break;
        }
    }
    let circles: Vec<String> = (left.iter())
        .flat_map(|(module, imports)| imports.iter().map(move |other| (module, other)))
        .filter(|(_, other)| left.contains_key(*other))
        .map(|(module, other)| format!("{} -> {}", module.join("/"), other.join("/")))
        .collect();
    assert!(circles.is_empty(), "imports in a circle: {circles:#?}");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    has_no_circles(House::of(&modules(false)).imports());
}

#[test]
fn no_rooms_import_each_other_in_a_circle_in_their_tests() {
    let mut rooms: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, imports) in House::of(&modules(true)).imports() {
        let others = imports.iter().map(|other| other[..1].to_vec());
        let others = others.filter(|other| other[0] != module[0]);
        rooms
            .entry(module[..1].to_vec())
            .or_default()
            .extend(others);
    }
    has_no_circles(rooms);
}
