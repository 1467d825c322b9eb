//! Attacks by a superuser of the database, who disables triggers. Each is made at 50 random leaf indices of a
//! log with anchored checkpoints. The verifier, with only the export, the anchor and the public key, must
//! find all of them and the first bad leaf. Most change the export directly (`forgery.rs`); some change a
//! copy of the database, whose export must then equal the forged export byte for byte.

use crate::forgery::{self, Signature};
use crate::log::{export, sequenced, verify};
use crate::tampering::{
    close_gap, close_gap_sql, delete_leaf, delete_leaf_sql, delete_row, delete_row_sql, insert, insert_sql,
    rewrite, rewrite_one, rewrite_one_sql, rewrite_sql, roll_back, swap, swap_sql, truncate, truncate_sql,
};
use crate::target::{ROWS, Target, findings, random};
use system_tests::server::Options;
use system_tests::{images, postgres};

/// How often each attack is made, each time at a random leaf.
const TRIES: u64 = 50;
/// How many of these tries are also made on a database, which takes a second each.
const COPIES: u64 = 2;

/// An attack at a leaf index: on the parsed log, and as SQL on its database.
struct Attack {
    what: &'static str,
    forge: fn(&mut forgery::Log, u64),
    statements: fn(&Target, u64) -> String,
    shows: Shows,
}

/// The leaves that the verifier must report.
#[derive(Clone, Copy)]
enum Shows {
    /// Exactly the attacked leaf: the row itself is wrong.
    There,
    /// The attacked leaf, and possibly the leaves before it back to the checkpoint below.
    ThereAndOn,
    /// All leaves between the checkpoints around it: the location cannot be determined more exactly.
    BetweenCheckpoints,
    /// The same with a missing leaf, which under the last checkpoint may also be the last leaf.
    BetweenCheckpointsOneLess,
    /// From the checkpoint below to the anchored one above: the checkpoints in the database are forged.
    UpToTheAnchor,
    /// The same with valid signatures on the forged checkpoints, which can move the start up, but not the
    /// end.
    UpToTheAnchorAtLeast,
    /// From the attacked leaf to the end; possibly also the leaves since the checkpoint below.
    ToTheEnd,
}

impl Shows {
    fn check(self, target: &Target, index: u64, found: &[(u64, u64)], what: &str) {
        let (from, n) = *found.first().unwrap_or_else(|| panic!("{what} at {index} is not found"));
        let (before, after) = (target.checkpoint_before(index), target.checkpoint_after(index));
        let anchor = target.anchor_after(index);
        let right = match self {
            Self::There => found == [(index, 1)],
            Self::ThereAndOn => found.contains(&(index, 1)) && (from == index || from == before),
            Self::BetweenCheckpoints => (from, from + n) == (before, after),
            Self::BetweenCheckpointsOneLess => from >= before && (after - 1..=after).contains(&(from + n)),
            Self::UpToTheAnchor => (from, from + n) == (before, anchor),
            Self::UpToTheAnchorAtLeast => from >= before && from + n == anchor,
            Self::ToTheEnd => {
                found.contains(&(index, ROWS - index))
                    && (from == index || (from, from + n) == (before, index))
            }
        };
        let checkpoints: Vec<&u64> = target.log.checkpoints.keys().collect();
        assert!(
            right,
            "{what} at {index}: {found:?}; checkpoints {checkpoints:?}, anchors {:?}",
            target.anchors()
        );
    }
}

const ATTACKS: [Attack; 10] = [
    Attack { what: "a deleted row", forge: delete_row, statements: delete_row_sql, shows: Shows::There },
    Attack {
        what: "a deleted row with its leaf",
        forge: delete_leaf,
        statements: delete_leaf_sql,
        shows: Shows::ThereAndOn,
    },
    Attack {
        what: "a deleted row and leaf, the others moved up",
        forge: close_gap,
        statements: close_gap_sql,
        shows: Shows::BetweenCheckpointsOneLess,
    },
    Attack {
        what: "an inserted row",
        forge: insert,
        statements: insert_sql,
        shows: Shows::BetweenCheckpoints,
    },
    Attack {
        what: "two leaves swapped",
        forge: swap,
        statements: swap_sql,
        shows: Shows::BetweenCheckpoints,
    },
    Attack { what: "the end truncated", forge: truncate, statements: truncate_sql, shows: Shows::ToTheEnd },
    Attack {
        what: "everything rewritten, unsigned",
        forge: |log, index| rewrite(log, index, Signature::Old),
        statements: |target, index| rewrite_sql(target, index, Signature::Old),
        shows: Shows::UpToTheAnchor,
    },
    Attack {
        what: "everything rewritten, signed with another key",
        forge: |log, index| rewrite(log, index, Signature::AnotherKey),
        statements: |target, index| rewrite_sql(target, index, Signature::AnotherKey),
        shows: Shows::UpToTheAnchor,
    },
    Attack {
        what: "everything rewritten, signed with the stolen key",
        forge: |log, index| rewrite(log, index, Signature::StolenKey),
        statements: |target, index| rewrite_sql(target, index, Signature::StolenKey),
        shows: Shows::UpToTheAnchorAtLeast,
    },
    Attack {
        what: "one row rewritten with its leaf",
        forge: rewrite_one,
        statements: rewrite_one_sql,
        shows: Shows::BetweenCheckpoints,
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn every_attack_on_the_database_is_found_with_its_first_bad_leaf() {
    let target = Target::fill().await;
    assert_eq!(target.findings(&target.log.export()), []);
    std::thread::scope(|scope| {
        // Two threads: one would wait for Postgres and for the verifier in turn.
        let workers: Vec<_> = (0..2)
            .map(|half| {
                let target = &target;
                scope.spawn(move || {
                    for attack in ATTACKS.iter().skip(half).step_by(2) {
                        attack_everywhere(target, attack);
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

fn attack_everywhere(target: &Target, attack: &Attack) {
    for n in 0..TRIES {
        let index = random(ROWS - 1);
        let mut forged = target.log.clone();
        (attack.forge)(&mut forged, index);
        let forged = forged.export();
        if n < COPIES {
            let exported = target.attacked(&(attack.statements)(target, index));
            assert!(
                exported == forged,
                "{} at {index}: the database's export differs from the forged one",
                attack.what
            );
        }
        attack.shows.check(target, index, &target.findings(&forged), attack.what);
    }
}

/// Two checkpoints swap their notes and roots.
#[tokio::test(flavor = "multi_thread")]
async fn swapped_checkpoints_are_found_at_the_first_of_them() {
    let target = Target::fill().await;
    let sizes: Vec<u64> = target.log.checkpoints.keys().copied().collect();
    for n in 0..TRIES {
        let one = random(sizes.len() as u64 - 1);
        let other = sizes[(one + 1 + random(sizes.len() as u64 - 1 - one)) as usize];
        let one = sizes[one as usize];
        let mut forged = target.log.clone();
        let notes = (forged.checkpoints[&one].clone(), forged.checkpoints[&other].clone());
        forged.checkpoints.extend([(one, notes.1), (other, notes.0)]);
        let forged = forged.export();
        if n < COPIES {
            let statements = format!(
                "create temporary table notes as select tree_size, note, root_hash from audit_checkpoints; \
                 update audit_checkpoints c set note = n.note, root_hash = n.root_hash from notes n \
                 where (c.tree_size, n.tree_size) in (({one}, {other}), ({other}, {one}))"
            );
            assert!(target.attacked(&statements) == forged, "{one} and {other}: the exports differ");
        }
        assert_eq!(target.findings(&forged)[0], (one, 1), "{one} and {other}");
    }
}

/// An attacker with the log's key can make everything consistent except the anchor.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_anchor_detects_a_log_that_continues_from_an_old_backup_with_the_right_key() {
    let target = Target::fill().await;
    for _ in 0..TRIES {
        let index = random(ROWS - 1);
        let mut forged = target.log.clone();
        roll_back(&mut forged, index);
        let forged = forged.export();
        assert_eq!(findings(&forged, None), [], "without the anchor, the forged log verifies");
        let index = target.checkpoint_before(index);
        Shows::UpToTheAnchorAtLeast.check(&target, index, &target.findings(&forged), "a roll-back");
    }

    // A service without an anchor cannot detect it.
    let cluster = postgres::shared();
    let index = target.checkpoint_before(random(ROWS - 1));
    let copy = cluster.copy(&target.database);
    cluster.psql(&copy, &format!("{}{}", crate::target::DISARM, truncate_sql(&target, index)));
    let url = cluster.url(&copy);
    let server = Options::on(&url).start_ready().await;
    for n in 0..ROWS - index {
        assert_eq!(server.post("", images::jpeg(n, true)).await.status(), 200);
    }
    sequenced(&url, ROWS).await;
    drop(server);
    let folder = tempfile::tempdir().unwrap();
    let exported = export(&url, folder.path());
    assert_eq!(verify(&exported, &[]).0, 0, "without the anchor, the forged log verifies");
    let text = std::fs::read_to_string(&exported).unwrap();
    let (from, n) = target.findings(&text)[0];
    assert!(from >= index && from + n <= target.anchor_after(index), "{index}: {from}, {n}");
}
