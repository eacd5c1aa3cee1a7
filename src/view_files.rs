//! The user's view of a run, kept from one session to the next: `lcascope/views/` in `$XDG_STATE_HOME`
//! (`~/.local/state`), one small TOML file for each run.
//!
//! A file's name is a hash of the run's `created` and `config`, not of the run file's path: bookmarks follow a run that
//! is moved, renamed or copied, and a resumed run keeps them. Two runs have both in common only if they are the same
//! run, step for step.
//!
//! Nothing here is worth an error. If nothing can be kept (no home, or a read-only one), nothing is; a file that cannot
//! be read is ignored with a notice. Beyond [`MOST`] files, the oldest are removed.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use etcetera::{BaseStrategy, choose_base_strategy};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::small_file;

/// The most files kept.
pub const MOST: usize = 500;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 18;

/// The most bookmarks kept: as many as fit in [`LONGEST`].
const BOOKMARKS: usize = 10_000;

/// Prefix of temporary files, which a killed writer leaves behind.
const SCRATCH: &str = ".view-";

/// The state of the screen for a run. Fields missing from a file have the values of a new session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct SavedView {
    /// The step at the cursor; none to follow the newest step.
    pub cursor: Option<u64>,
    /// The number of steps in view; none for the whole run.
    pub window: Option<u64>,
    /// The screen's name.
    pub screen: String,
    /// The name of the order of layers.
    pub sort: String,
    /// The filter for layers and tensors.
    pub filter: String,
    /// The selected layer's name, whether it is open, and the unit and parameter open within it.
    pub layer: String,
    pub inside: bool,
    pub unit: Option<usize>,
    pub parameter: Option<usize>,
    /// Bookmarked steps, ascending.
    pub bookmarks: Vec<u64>,
}

/// The identity of a run, wherever its file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunId(String);

impl RunId {
    /// Computes the identity from attributes of the run file that never change.
    #[must_use]
    pub fn from_header(created: &str, config: &str) -> Self {
        let mut hash = Sha256::new();
        // Include the length, so that the boundary between the two is part of the hash.
        hash.update((created.len() as u64).to_le_bytes());
        hash.update(created);
        hash.update(config);
        let bytes = hash.finalize();
        let half = bytes.iter().take(16);
        let number = half.fold(0_u128, |number, &byte| (number << 8) | u128::from(byte));
        Self(format!("{number:032x}"))
    }
}

/// The folder in which views are kept.
#[derive(Clone, Debug)]
pub struct ViewFolder {
    /// None if the home folder is unknown.
    folder: Option<PathBuf>,
}

impl ViewFolder {
    /// The user's own views.
    #[must_use]
    pub fn of_user() -> Self {
        let base = choose_base_strategy().ok();
        let state = base.and_then(|base| base.state_dir());
        Self {
            folder: state.map(|state| state.join("lcascope").join("views")),
        }
    }

    /// The views in a folder, which need not exist.
    #[must_use]
    pub fn inside(folder: &Path) -> Self {
        Self {
            folder: Some(folder.to_owned()),
        }
    }

    fn path(&self, run: &RunId) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        Some(folder.join(format!("{}.toml", run.0)))
    }

    /// Loads the view kept for a run; none if there is none.
    ///
    /// # Errors
    /// The file exists but cannot be used: a notice for the screen.
    pub fn load(&self, run: &RunId) -> Result<Option<SavedView>, String> {
        let Some(path) = self.path(run) else {
            return Ok(None);
        };
        let text = match small_file::text(&path, LONGEST) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ignored_notice(&path, &error.to_string())),
        };
        match toml::from_str::<SavedView>(&text) {
            Ok(mut state) => {
                state.bookmarks.sort_unstable();
                state.bookmarks.dedup();
                Ok(Some(state))
            }
            Err(error) => Err(ignored_notice(&path, error.message())),
        }
    }

    /// Saves the view of a run atomically. Returns whether that was possible; a failure is not worth reporting.
    #[must_use]
    pub fn store(&self, run: &RunId, state: &SavedView) -> bool {
        let Some(path) = self.path(run) else {
            return false;
        };
        let stored = write(&path, state).is_ok();
        if stored && let Some(folder) = path.parent() {
            remove_oldest(folder, MOST);
        }
        stored
    }
}

fn ignored_notice(path: &Path, why: &str) -> String {
    let why = why.lines().next().unwrap_or_default();
    format!(
        "cannot restore the view of this run: {}: {why}",
        path.display()
    )
}

fn write(path: &Path, state: &SavedView) -> io::Result<()> {
    // TOML's integers end at 2^63, and the file must stay small.
    let mut state = state.clone();
    let fits = |step: &u64| i64::try_from(*step).is_ok();
    state.cursor = state.cursor.filter(fits);
    state.window = state.window.filter(fits);
    state.bookmarks.retain(fits);
    state.bookmarks.truncate(BOOKMARKS);
    let text = toml::to_string(&state).map_err(io::Error::other)?;
    let odd = |there: fs::Metadata| !there.is_file() && !there.is_symlink();
    if path.symlink_metadata().is_ok_and(odd) {
        return Err(io::Error::other("is not a regular file"));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut scratch = tempfile::Builder::new()
        .prefix(SCRATCH)
        .tempfile_in(folder)?;
    scratch.write_all(text.as_bytes())?;
    scratch.as_file().sync_data()?;
    scratch.persist(path)?;
    Ok(())
}

/// Removes the oldest files beyond `most`, and the temporary files of killed writers.
fn remove_oldest(folder: &Path, most: usize) {
    const OLD: Duration = Duration::from_secs(3600);
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut views: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in entries.flatten() {
        let Ok(changed) = entry.metadata().and_then(|metadata| metadata.modified()) else {
            continue;
        };
        let path = entry.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let ours = stem.len() == 32 && stem.chars().all(|c| c.is_ascii_hexdigit());
        if ours && path.extension().is_some_and(|end| end == "toml") {
            views.push((changed, path));
        } else if entry.file_name().to_string_lossy().starts_with(SCRATCH)
            && changed.elapsed().is_ok_and(|age| age > OLD)
        {
            let _ = fs::remove_file(path);
        }
    }
    views.sort();
    for (_, path) in views.iter().take(views.len().saturating_sub(most)) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn run(number: usize) -> RunId {
        RunId::from_header("2026-01-01T00:00:00Z", &number.to_string())
    }

    fn example() -> SavedView {
        SavedView {
            cursor: Some(123),
            window: Some(40),
            screen: "oscillation".to_owned(),
            sort: "total".to_owned(),
            filter: "conv \"x\"\n".to_owned(),
            bookmarks: vec![5, 99],
            ..SavedView::default()
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let names = fs::read_dir(folder).unwrap().map(name);
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn stored_views_are_loaded_per_run() {
        let folder = TempDir::new().unwrap();
        let views = ViewFolder::inside(&folder.path().join("deep/er"));
        assert_eq!(views.load(&run(1)), Ok(None));
        assert!(views.store(&run(1), &example()));
        assert_eq!(views.load(&run(1)), Ok(Some(example())));
        assert_eq!(views.load(&run(2)), Ok(None));
        assert!(views.store(&run(1), &SavedView::default()));
        assert_eq!(views.load(&run(1)), Ok(Some(SavedView::default())));
        assert_eq!(
            names(&folder.path().join("deep/er")).len(),
            1,
            "no scratch is left"
        );
        assert_ne!(RunId::from_header("ab", "c"), RunId::from_header("a", "bc"));
        assert_eq!(run(1).0.len(), 32);
    }

    #[test]
    fn a_damaged_file_gives_a_notice_and_other_versions_are_read() {
        let folder = TempDir::new().unwrap();
        let views = ViewFolder::inside(folder.path());
        let path = views.path(&run(1)).unwrap();
        for bad in [
            "cursor = ",
            "cursor = -1",
            "bookmarks = 'x'",
            "screen = 1",
            "\u{0}",
        ] {
            fs::write(&path, bad).unwrap();
            let notice = views.load(&run(1)).unwrap_err();
            assert!(
                notice.contains("cannot restore") && notice.contains(".toml"),
                "{notice}"
            );
            assert!(!notice.contains('\n'), "{notice:?}");
        }
        fs::write(&path, b"\xff").unwrap();
        assert!(views.load(&run(1)).is_err());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(views.load(&run(1)).is_err());
        assert!(!views.store(&run(1), &example()));
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "newer = true\nbookmarks = [9, 3, 9]\n").unwrap();
        let state = views.load(&run(1)).unwrap().unwrap();
        let expected = SavedView {
            bookmarks: vec![3, 9],
            ..SavedView::default()
        };
        assert_eq!(state, expected);
    }

    #[test]
    fn without_a_writable_folder_nothing_is_stored() {
        let nowhere = ViewFolder { folder: None };
        assert!(!nowhere.store(&run(1), &example()));
        assert_eq!(nowhere.load(&run(1)), Ok(None));
        // A path below a file fails for root too, whom permissions do not stop.
        let file = tempfile::NamedTempFile::new().unwrap();
        let blocked = ViewFolder::inside(&file.path().join("views"));
        assert!(!blocked.store(&run(1), &example()));
    }

    #[test]
    fn the_oldest_files_are_removed() {
        let folder = TempDir::new().unwrap();
        let age = |path: &Path, seconds: u64| {
            let then = SystemTime::now() - Duration::from_secs(seconds);
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(then)
                .unwrap();
        };
        let views = ViewFolder::inside(folder.path());
        for number in 0..5 {
            assert!(views.store(&run(number), &example()));
            age(
                &views.path(&run(number)).unwrap(),
                1000 * (5 - number as u64),
            );
        }
        for (name, seconds) in [
            (".view-old", 9999),
            (".view-new", 0),
            ("notes.txt", 9999),
            ("notes.toml", 9999),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, "").unwrap();
            age(&path, seconds);
        }
        remove_oldest(folder.path(), 3);
        let kept: Vec<bool> = (0..5)
            .map(|n| views.load(&run(n)).unwrap().is_some())
            .collect();
        assert_eq!(kept, [false, false, true, true, true]);
        let mut others = names(folder.path());
        assert!(others.contains(&"notes.toml".to_owned()), "somebody else's");
        others.retain(|name| Path::new(name).extension().is_none_or(|e| e != "toml"));
        others.sort();
        assert_eq!(others, [".view-new", "notes.txt"]);
    }

    proptest! {
        #[test]
        fn any_view_round_trips(
            numbers in prop::collection::vec(0..=i64::MAX as u64, 2),
            words in prop::collection::vec(any::<String>(), 3),
            bookmarks in prop::collection::btree_set(0..=i64::MAX as u64, 0..20),
        ) {
            let state = SavedView {
                cursor: Some(numbers[0]),
                window: None,
                screen: words[0].clone(),
                sort: words[1].clone(),
                filter: words[2].clone(),
                bookmarks: bookmarks.into_iter().collect(),
                ..SavedView::default()
            };
            let folder = TempDir::new().unwrap();
            let views = ViewFolder::inside(folder.path());
            prop_assert!(views.store(&run(7), &state));
            prop_assert_eq!(views.load(&run(7)), Ok(Some(state)));
        }
    }
}
