//! Unix sockets with paths of any length.
//!
//! The system limits the path of a socket to 107 bytes. A longer one is reached through `/proc/self/fd`, where an
//! opened folder, or the socket itself, has a short name.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketType};

use crate::rename;

/// The wait for the other end to accept a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most bytes of a path in `sockaddr_un`, whose last byte is 0.
const LONGEST: usize = 107;

/// A listening socket at its path, which is removed when this is dropped.
pub struct BoundSocket {
    pub listener: UnixListener,
    path: PathBuf,
    /// Device and inode, since another process may have put its own socket there.
    identity: rename::Identity,
}

impl BoundSocket {
    /// Creates the socket, for this user only. A socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// Something else has the path, or the file system does not support sockets.
    pub fn bind(path: &Path) -> io::Result<Self> {
        // The check comes after it is known which file is checked.
        let there = rename::identity(path).ok();
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(meta) if !meta.file_type().is_socket() => {
                let text = "a file that is not a socket has this name";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
            }
            Ok(_) => match connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    let text = "another process is listening";
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
                }
            },
        }
        // Under a temporary name until only this user can use it.
        let folder = folder_of(path);
        let name = format!(".lcascope-{}.sock", std::process::id());
        let temporary = folder.join(&name);
        let listener = if temporary.as_os_str().len() <= LONGEST {
            UnixListener::bind(&temporary)?
        } else {
            let opened = File::open(&folder)?;
            UnixListener::bind(short_name(opened.as_raw_fd()).join(&name))?
        };
        let mut bound = Self {
            listener,
            identity: rename::identity(&temporary)?,
            path: temporary,
        };
        fs::set_permissions(&bound.path, fs::Permissions::from_mode(0o600))?;
        bound.listener.set_nonblocking(true)?;
        match there {
            Some(stale) => rename::in_place_of(stale, &bound.path, path)?,
            None => rename::without_replacing(&bound.path, path)?,
        }
        path.clone_into(&mut bound.path);
        Ok(bound)
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        if rename::identity(&self.path).is_ok_and(|there| there == self.identity) {
            // A socket that cannot be removed is stale, and the next run replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Connects to the socket at this path.
///
/// # Errors
/// `NotFound`; `ConnectionRefused` if nobody listens; `TimedOut` if the listener does not accept; and any other I/O
/// error.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    // A link might lead to another program's socket.
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let text = "not a socket";
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, text));
    }
    if path.as_os_str().len() <= LONGEST {
        return connect_short(path);
    }
    let socket = open_socket(path)?;
    connect_short(&short_name(socket.as_raw_fd()))
}

fn connect_short(path: &Path) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let socket = net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    let until = Instant::now() + PATIENCE;
    loop {
        match net::connect(&socket, &address) {
            Ok(()) => break,
            // The queue of pending connections is full.
            Err(Errno::AGAIN) if Instant::now() < until => thread::sleep(PATIENCE / 100),
            Err(Errno::AGAIN) => {
                let text = "its process does not accept connections";
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    rustix::io::ioctl_fionbio(&socket, false)?;
    Ok(UnixStream::from(socket))
}

/// Opens the socket's inode without connecting, to get a descriptor.
#[cfg(target_os = "linux")]
fn open_socket(path: &Path) -> io::Result<std::os::fd::OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

#[cfg(not(target_os = "linux"))]
fn open_socket(_: &Path) -> io::Result<std::os::fd::OwnedFd> {
    let text = "the path is too long for a socket on this system";
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

fn short_name(descriptor: i32) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{descriptor}"))
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Returns the user at the other end, if the system tells.
#[cfg(target_os = "linux")]
pub fn peer_uid(stream: &UnixStream) -> Option<u32> {
    let peer = rustix::net::sockopt::socket_peercred(stream).ok()?;
    Some(peer.uid.as_raw())
}

/// On other systems the socket's mode alone keeps others out.
#[cfg(not(target_os = "linux"))]
pub fn peer_uid(_: &UnixStream) -> Option<u32> {
    Some(rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn names_of_any_length_are_bound_and_reached() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        for path in [
            folder.path().join("run.h5.sock"),
            deep.join("run.h5.sock"),
            deep.join(format!("{}.sock", "n".repeat(200))),
        ] {
            let bound = BoundSocket::bind(&path).unwrap();
            assert_eq!(mode(&path), 0o600);
            let _here = connect(&path).unwrap();
            let (there, _) = bound.listener.accept().unwrap();
            assert_eq!(peer_uid(&there), Some(rustix::process::geteuid().as_raw()));
            drop(bound);
            assert!(!path.exists());
            let error = connect(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
    }

    #[test]
    fn only_a_stale_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.h5.sock");
        drop(UnixListener::bind(&path).unwrap());
        let refused = connect(&path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let bound = BoundSocket::bind(&path).unwrap();
        connect(&path).unwrap();
        let error = BoundSocket::bind(&path).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(bound);

        fs::write(&path, "mine").unwrap();
        let error = BoundSocket::bind(&path).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        // A link to another program's socket is neither followed nor replaced.
        let theirs = folder.path().join("theirs.sock");
        let _listening = UnixListener::bind(&theirs).unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&theirs, &path).unwrap();
        let refused = connect(&path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(BoundSocket::bind(&path).is_err() && path.is_symlink());
    }

    #[test]
    fn closing_removes_only_our_own_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.h5.sock");
        let ours = BoundSocket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let theirs = UnixListener::bind(&path).unwrap();
        drop(ours);
        assert!(path.exists());
        drop(theirs);
    }
}
