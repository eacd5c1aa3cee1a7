//! A real sshd on this machine: its own keys, configuration and port, in a folder of its own; no root needed.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::patiently;
use super::skip::skipped;

/// A running sshd that lets this user in with a key.
pub struct Sshd {
    folder: TempDir,
    program: PathBuf,
    port: u16,
    server: Option<Child>,
}

impl Sshd {
    /// Starts one; none if this machine has no sshd or ssh, which is reported.
    pub fn start() -> Option<Self> {
        let folders = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
        let find = |name: &str| {
            let mut places = folders
                .split(':')
                .map(|folder| Path::new(folder).join(name));
            places.find(|path| path.is_file())
        };
        let (Some(program), Some(_), Some(_)) = (find("sshd"), find("ssh"), find("ssh-keygen"))
        else {
            skipped("no sshd, ssh and ssh-keygen here");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        for name in ["host", "key"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
            let status = keygen.arg(folder.path().join(name)).status().unwrap();
            assert!(status.success());
        }
        // Run as root, it insists on a folder that the system usually makes at its start.
        if rustix::process::geteuid().is_root() {
            let _ = fs::create_dir_all("/run/sshd");
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let at = folder.path().display();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nPidFile none\n\
             AuthorizedKeysFile {at}/key.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nSetEnv XDG_CACHE_HOME={at}/cache\n"
        );
        fs::write(folder.path().join("config"), config).unwrap();
        let mut sshd = Self {
            folder,
            program,
            port,
            server: None,
        };
        sshd.restart();
        Some(sshd)
    }

    /// Starts the server, if it has been cut off.
    pub fn restart(&mut self) {
        let mut command = Command::new(&self.program);
        command
            .args(["-D", "-e", "-f"])
            .arg(self.folder.path().join("config"));
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let server = self.server.insert(command.spawn().unwrap());
        let (port, log) = (self.port, self.folder.path().join("log"));
        patiently("sshd to listen", || {
            let said = || fs::read_to_string(&log).unwrap_or_default();
            assert!(
                server.try_wait().unwrap().is_none(),
                "sshd ended: {}",
                said()
            );
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }

    /// Ends the server and cuts all its connections.
    pub fn cut_off(&mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        let sessions = children(server.id());
        let _ = server.kill();
        let _ = server.wait();
        for session in sessions {
            // A session of another user than root has a process of its own for that.
            for process in children(session)
                .into_iter()
                .filter(|&it| is_sshd(it))
                .chain([session])
            {
                let process = rustix::process::Pid::from_raw(process.cast_signed()).unwrap();
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
        }
    }

    /// The ssh command that reaches it.
    pub fn ssh(&self) -> String {
        let at = self.folder.path().display();
        format!(
            "ssh -F none -p {} -i {at}/key -o IdentitiesOnly=yes -o StrictHostKeyChecking=accept-new \
             -o UserKnownHostsFile={at}/known -o LogLevel=ERROR",
            self.port
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.cut_off();
    }
}

/// The processes whose parent is this one.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent = parent.to_string();
    let is_child = |id: &u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // After the name in brackets: the state, then the parent.
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        rest.split(' ').nth(1) == Some(parent.as_str())
    };
    ids.filter(is_child).collect()
}

fn is_sshd(process: u32) -> bool {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    name.starts_with("sshd")
}
