//! System calls of a process, traced with strace.

use std::path::{Path, PathBuf};

/// The traced calls: network calls, and calls that change the file system.
const CALLS: &str = "trace=socket,connect,bind,sendto,sendmsg,sendmmsg,open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,\
                     unlink,unlinkat,link,linkat,symlink,symlinkat,truncate,mknod,mknodat,memfd_create";

/// The command line of a strace that writes the calls of a program and its children to a file. The program
/// stays the process that was started. `ORT_DISABLE_TELEMETRY` is removed, so that the program itself must
/// disable the telemetry.
pub fn tracer(file: &Path) -> Vec<String> {
    let words =
        ["env", "-u", "ORT_DISABLE_TELEMETRY", "strace", "-f", "-D", "-qq", "-s", "256", "-e", CALLS, "-o"];
    words.iter().map(|&word| word.to_owned()).chain([file.display().to_string()]).collect()
}

/// The traced calls, including failed ones.
pub struct Trace(Vec<String>);

impl Trace {
    /// Reads the file that strace has written.
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

    /// Calls with an IP address of another host, and DNS queries.
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

    /// Paths that were opened for writing, created, moved or removed.
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
