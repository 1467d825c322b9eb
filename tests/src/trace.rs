//! What a process asks of the system, as strace sees it.

use std::path::{Path, PathBuf};

/// Calls that reach other hosts, and those that change the file system.
const CALLS: &str = "trace=socket,connect,bind,sendto,sendmsg,sendmmsg,open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,\
                     unlink,unlinkat,link,linkat,symlink,symlinkat,truncate,mknod,mknodat,memfd_create";

/// Arguments that let strace write the calls of a program, and of all that it starts, to a file. The program is the process that was
/// started, without the variable that would hide what it does about telemetry itself.
pub fn tracer(file: &Path) -> Vec<String> {
    let words =
        ["env", "-u", "ORT_DISABLE_TELEMETRY", "strace", "-f", "-D", "-qq", "-s", "256", "-e", CALLS, "-o"];
    words.iter().map(|&word| word.to_owned()).chain([file.display().to_string()]).collect()
}

/// Calls that succeeded or were tried.
pub struct Trace(Vec<String>);

impl Trace {
    /// Of a file that strace has written.
    ///
    /// # Panics
    /// When nothing was traced.
    pub fn read(file: &Path) -> Self {
        let text = String::from_utf8_lossy(&std::fs::read(file).expect("strace wrote it")).into_owned();
        let calls: Vec<String> = text.lines().filter(|line| line.contains('(')).map(str::to_owned).collect();
        assert!(
            calls.iter().any(|call| call.contains("libonnxruntime")),
            "the library was not loaded:\n{text}"
        );
        Self(calls)
    }

    /// Calls with an address of the internet in them, other than those of this host to itself: whoever is asked for a name, too.
    pub fn to_other_hosts(&self) -> Vec<&str> {
        let reaches = |call: &&str| {
            let named = call.contains("sin_addr=") || call.contains("sin6_addr");
            let sends =
                ["connect(", "sendto(", "sendmsg(", "sendmmsg("].iter().any(|name| call.contains(name));
            let own = call.contains("inet_addr(\"127.0.0.1\")") && !call.contains("htons(53)");
            sends && named && !own
        };
        self.0.iter().map(String::as_str).filter(reaches).collect()
    }

    /// Paths that were opened for writing, made, moved or removed.
    pub fn written(&self) -> Vec<PathBuf> {
        let writes = |call: &&String| {
            let opens = ["open(", "openat(", "openat2("].iter().any(|name| call.contains(name));
            let reads = !["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| call.contains(flag));
            let other = ["socket(", "connect(", "bind(", "sendto(", "sendmsg(", "sendmmsg("];
            let failed = call.contains(" = -1 ");
            !(failed || opens && reads || other.iter().any(|name| call.contains(name)))
        };
        let paths = self.0.iter().filter(writes).flat_map(|call| call.split('"').skip(1).step_by(2));
        paths.map(PathBuf::from).collect()
    }
}
