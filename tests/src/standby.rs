//! A hot standby of a cluster, by streaming replication.

use crate::postgres::{Cluster, as_postgres, program};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

impl Cluster {
    /// Starts a standby that follows this cluster.
    #[must_use]
    pub fn standby(&self) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = PathBuf::from(format!("/tmp/cxr-standby-{}-{number}", std::process::id()));
        std::fs::create_dir(&directory).expect("a new folder");
        let owner = std::fs::metadata(self.directory()).expect("its folder");
        let (user, group) =
            (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
        std::os::unix::fs::chown(&directory, Some(user), Some(group)).expect("a folder that we created");
        let mut copy = as_postgres(&program("pg_basebackup"));
        copy.arg("-h").arg(self.directory()).args(["-U", "cxr", "-X", "stream", "-c", "fast", "-R", "-D"]);
        let copied =
            copy.arg(directory.join("data")).current_dir("/tmp").output().expect("pg_basebackup runs");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let standby = Self::adopt(&directory);
        standby.restart();
        standby
    }

    /// Waits until it has replayed everything that `primary` has written so far.
    pub fn catch_up_with(&self, primary: &Self) {
        let wanted = primary.psql("postgres", "select pg_current_wal_flush_lsn()");
        let reached = format!("select pg_last_wal_replay_lsn() >= '{wanted}'");
        let begun = Instant::now();
        while self.psql("postgres", &reached) != "t" {
            assert!(begun.elapsed() < Duration::from_secs(20), "the standby has not caught up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes the standby a primary.
    pub fn promote(&self) {
        self.control(&["promote"]);
    }
}
