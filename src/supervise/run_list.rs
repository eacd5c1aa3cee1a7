//! The list of runs in folders, read by other processes and kept up to date.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};

use super::failure::Failure;
use super::sandbox;
use crate::feed::{self, FileAnswer, ReaderProcess};
use crate::runs::{Content, ListUpdate, RunCache, RunEntry, RunFacts, Scan, Stamp, scan};
use crate::text::harmless;

/// The most processes that read files at the same time.
const READERS: usize = 4;

/// The interval at which folders are looked at, and files that are being written are read.
const POLL: Duration = Duration::from_secs(1);

/// The interval at which files are announced while many are being read.
const BATCH: Duration = Duration::from_millis(100);

/// The files in some folders, and what is known of each.
pub struct RunList {
    places: Vec<PathBuf>,
    /// Facts kept by other sessions, by folder, until the file has been looked at.
    cache: RunCache,
    kept: HashMap<PathBuf, HashMap<OsString, (Stamp, RunFacts)>>,
    known: BTreeMap<PathBuf, KnownFile>,
    readers: Readers,
    /// Files left by killed runs, and the runs that they were to replace.
    pub left: Vec<(PathBuf, PathBuf)>,
    /// Set if something has been read that is not in the cache.
    news: bool,
}

struct KnownFile {
    stamp: Option<Stamp>,
    content: Content,
    /// Set while a process reads it.
    pending: bool,
}

impl KnownFile {
    /// Returns true if the file must be read again even if it has not changed: it does not show the death of its writer.
    fn is_live(&self) -> bool {
        matches!(&self.content, Content::Run(facts) if facts.status.live)
    }
}

impl RunList {
    /// A list of the files in these places: folders, or single files.
    #[must_use]
    pub fn new(places: Vec<PathBuf>, cache: RunCache) -> Self {
        Self {
            kept: places
                .iter()
                .map(|place| (place.clone(), cache.load(place)))
                .collect(),
            places,
            cache,
            known: BTreeMap::new(),
            readers: Readers::new(),
            left: Vec::new(),
            news: false,
        }
    }

    /// Looks for new, changed and removed files, and lets the files be read whose content is not known.
    ///
    /// # Errors
    /// A place cannot be listed.
    pub fn refresh(&mut self) -> Result<Vec<ListUpdate>, Failure> {
        let error = |(place, error): (PathBuf, io::Error)| {
            let place = harmless(&place.display().to_string());
            Failure::Other(format!("cannot list the folder {place}: {error}"))
        };
        let Scan { files, left } = scan(&self.places).map_err(error)?;
        self.left = left;
        let found: BTreeMap<PathBuf, Result<Stamp, String>> = files.into_iter().collect();
        let gone: Vec<PathBuf> = (self.known.keys())
            .filter(|path| !found.contains_key(*path))
            .cloned()
            .collect();
        for path in &gone {
            self.known.remove(path);
            self.news = true;
        }
        let mut changed = Vec::new();
        let mut unread = Vec::new();
        for (path, stamp) in found {
            let before = self.known.get(&path);
            let same = before.is_some_and(|file| file.stamp == stamp.as_ref().ok().copied());
            if before.is_some_and(|file| file.pending || (same && !file.is_live())) {
                continue;
            }
            let is_new = before.is_none();
            let file = match stamp {
                Err(error) => KnownFile {
                    stamp: None,
                    content: Content::unreadable(&path, &error),
                    pending: false,
                },
                Ok(stamp) => self.looked_up(&path, stamp),
            };
            if file.pending {
                unread.push((stamp_time(&file), path.clone()));
            }
            // A file that is read again is announced afterwards.
            if is_new || !file.pending {
                changed.push(entry(&path, &file, &self.places));
            }
            self.known.insert(path, file);
        }
        // The newest first.
        unread.sort_by(|a, b| b.0.total_cmp(&a.0));
        self.readers.read(unread.into_iter().map(|(_, path)| path));
        let mut updates = Vec::new();
        if !gone.is_empty() {
            updates.push(ListUpdate::Gone(gone));
        }
        if !changed.is_empty() {
            updates.push(ListUpdate::Entries(changed));
        }
        Ok(updates)
    }

    /// A file that must be read, unless an earlier session has read it. Keeps what was known of it meanwhile.
    fn looked_up(&mut self, path: &Path, stamp: Stamp) -> KnownFile {
        let name = path.file_name().unwrap_or_default();
        let place = path.parent().unwrap_or(Path::new(""));
        let kept = self.kept.get_mut(place).and_then(|kept| kept.remove(name));
        if let Some((_, facts)) = kept.filter(|(before, _)| *before == stamp) {
            return KnownFile {
                stamp: Some(stamp),
                content: Content::Run(Box::new(facts)),
                pending: false,
            };
        }
        let before = self.known.remove(path);
        KnownFile {
            stamp: Some(stamp),
            content: before.map_or(Content::Reading, |file| file.content),
            pending: true,
        }
    }

    /// Returns true if no file is being read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.known.values().any(|file| file.pending)
    }

    /// The answers of the processes that read files, for [`take`](Self::take).
    fn answers(&self) -> &Receiver<FileAnswer<RunFacts>> {
        &self.readers.answers
    }

    /// Takes in the answer about a file. Returns its row, if it is still listed.
    fn take(&mut self, (path, answer): FileAnswer<RunFacts>) -> Option<RunEntry> {
        let file = self.known.get_mut(&path)?;
        file.pending = false;
        file.content = match answer {
            Ok(facts) => Content::Run(Box::new(facts)),
            Err(error) => Content::unreadable(&path, &error.to_string()),
        };
        self.news = true;
        Some(entry(&path, file, &self.places))
    }

    /// Reads all files once.
    ///
    /// # Errors
    /// A place cannot be listed.
    pub fn read_all(&mut self) -> Result<Vec<RunEntry>, Failure> {
        self.refresh()?;
        while !self.is_complete() {
            let Ok(answer) = self.readers.answers.recv() else {
                break;
            };
            self.take(answer);
        }
        self.keep();
        let rows = self.known.iter();
        Ok(rows
            .map(|(path, file)| entry(path, file, &self.places))
            .collect())
    }

    /// Returns true if there is a run; reads files only until the first one.
    #[must_use]
    pub fn has_run(mut self) -> bool {
        if self.refresh().is_err() {
            return false;
        }
        let is_run = |file: &KnownFile| matches!(file.content, Content::Run(_));
        while !self.known.values().any(is_run) && !self.is_complete() {
            let Ok(answer) = self.readers.answers.recv() else {
                break;
            };
            self.take(answer);
        }
        self.known.values().any(is_run)
    }

    /// Keeps what has been read for other sessions.
    fn keep(&mut self) {
        if !std::mem::take(&mut self.news) {
            return;
        }
        for place in self.places.iter().filter(|place| place.is_dir()) {
            let here = self
                .known
                .iter()
                .filter(|(path, _)| path.parent() == Some(place));
            let facts = here.filter_map(|(path, file)| match &file.content {
                Content::Run(facts) => Some((path.as_path(), file.stamp?, &**facts)),
                Content::Reading | Content::Unreadable(_) => None,
            });
            self.cache.store(place, facts);
        }
    }
}

fn stamp_time(file: &KnownFile) -> f64 {
    file.stamp.map_or(0.0, |stamp| stamp.modified())
}

/// The row of a file. Where several places are listed, its name includes the folder.
fn entry(path: &Path, file: &KnownFile, places: &[PathBuf]) -> RunEntry {
    let only = match places {
        [place] => path.parent() == Some(place),
        _ => false,
    };
    let name = match path.file_name() {
        Some(name) if only => name.to_string_lossy(),
        _ => path.to_string_lossy(),
    };
    RunEntry {
        path: path.to_owned(),
        name: harmless(&name),
        modified: stamp_time(file),
        content: file.content.clone(),
    }
}

/// The processes that read files, started as needed.
struct Readers {
    paths: Sender<PathBuf>,
    unread: Receiver<PathBuf>,
    answers: Receiver<FileAnswer<RunFacts>>,
    answered: Sender<FileAnswer<RunFacts>>,
    processes: Vec<ReaderProcess>,
    most: usize,
}

impl Readers {
    fn new() -> Self {
        let (paths, unread) = unbounded();
        let (answered, answers) = unbounded();
        Self {
            paths,
            unread,
            answers,
            answered,
            processes: Vec::new(),
            most: thread::available_parallelism().map_or(1, |cores| cores.get().min(READERS)),
        }
    }

    fn read(&mut self, paths: impl Iterator<Item = PathBuf>) {
        for path in paths {
            let _ = self.paths.send(path);
        }
        while self.processes.len() < self.most.min(self.unread.len()) {
            let (paths, answers) = (self.unread.clone(), self.answered.clone());
            let Ok(process) = feed::read_each(sandbox::facts_reader, paths, answers) else {
                break;
            };
            self.processes.push(process);
        }
    }
}

/// The thread that keeps a list of runs up to date, until this is dropped.
pub struct WatchedRuns {
    pub updates: Receiver<ListUpdate>,
    quit: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WatchedRuns {
    /// Starts the thread.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn spawn(places: Vec<PathBuf>, cache: RunCache) -> io::Result<Self> {
        let (sender, updates) = unbounded();
        let (quit, quitting) = bounded(0);
        let thread = thread::Builder::new()
            .name("runs".to_owned())
            .spawn(move || watch(RunList::new(places, cache), &sender, &quitting))?;
        Ok(Self {
            updates,
            quit: Some(quit),
            thread: Some(thread),
        })
    }
}

impl Drop for WatchedRuns {
    fn drop(&mut self) {
        drop(self.quit.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(mut list: RunList, updates: &Sender<ListUpdate>, quit: &Receiver<()>) {
    let mut batch: Vec<RunEntry> = Vec::new();
    let mut next_look = Instant::now();
    let mut next_batch = next_look;
    loop {
        let now = Instant::now();
        if now >= next_look {
            match list.refresh() {
                Ok(news) => news.into_iter().for_each(|news| drop(updates.send(news))),
                Err(failure) => drop(updates.send(ListUpdate::Failed(failure.to_string()))),
            }
            next_look = now + POLL;
        }
        if !batch.is_empty() && (now >= next_batch || list.is_complete()) {
            drop(updates.send(ListUpdate::Entries(std::mem::take(&mut batch))));
            next_batch = now + BATCH;
            if list.is_complete() {
                list.keep();
            }
        }
        let next = if batch.is_empty() {
            next_look
        } else {
            next_look.min(next_batch)
        };
        select! {
            recv(list.answers()) -> answer => {
                if let Ok(answer) = answer {
                    batch.extend(list.take(answer));
                }
            }
            recv(quit) -> _ => break,
            default(next.saturating_duration_since(now)) => {}
        }
    }
    list.keep();
}
