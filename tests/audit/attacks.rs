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

const PLACES: u64 = 50;
/// How many of these attacks are also made on a database, which takes a second each.
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
    BetweenHeads,
    /// The same with a missing leaf, which under the last checkpoint may also be the last leaf.
    BetweenHeadsOneLess,
    /// From the checkpoint below to the anchored one above: the checkpoints in the database are forged.
    UpToTheAnchor,
    /// The same with valid signatures on the forged checkpoints, which can move the start up, but not the
    /// end.
    UpToTheAnchorAtLeast,
    /// From the attacked leaf to the end; possibly also the leaves since the checkpoint below.
    ToTheEnd,
}

impl Shows {
    fn check(self, target: &Target, place: u64, found: &[(u64, u64)], what: &str) {
        let (from, n) = *found.first().unwrap_or_else(|| panic!("{what} at {place} is not found"));
        let (before, after) = (target.head_before(place), target.head_after(place));
        let anchor = target.anchor_after(place);
        let right = match self {
            Self::There => found == [(place, 1)],
            Self::ThereAndOn => found.contains(&(place, 1)) && (from == place || from == before),
            Self::BetweenHeads => (from, from + n) == (before, after),
            Self::BetweenHeadsOneLess => from >= before && (after - 1..=after).contains(&(from + n)),
            Self::UpToTheAnchor => (from, from + n) == (before, anchor),
            Self::UpToTheAnchorAtLeast => from >= before && from + n == anchor,
            Self::ToTheEnd => {
                found.contains(&(place, ROWS - place))
                    && (from == place || (from, from + n) == (before, place))
            }
        };
        let heads: Vec<&u64> = target.log.heads.keys().collect();
        assert!(right, "{what} at {place}: {found:?}; heads {heads:?}, anchors {:?}", target.anchors());
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
        shows: Shows::BetweenHeadsOneLess,
    },
    Attack { what: "an inserted row", forge: insert, statements: insert_sql, shows: Shows::BetweenHeads },
    Attack { what: "two leaves swapped", forge: swap, statements: swap_sql, shows: Shows::BetweenHeads },
    Attack { what: "the end truncated", forge: truncate, statements: truncate_sql, shows: Shows::ToTheEnd },
    Attack {
        what: "everything rewritten, unsigned",
        forge: |log, place| rewrite(log, place, Signature::Old),
        statements: |target, place| rewrite_sql(target, place, Signature::Old),
        shows: Shows::UpToTheAnchor,
    },
    Attack {
        what: "everything rewritten, signed with another key",
        forge: |log, place| rewrite(log, place, Signature::AnotherKey),
        statements: |target, place| rewrite_sql(target, place, Signature::AnotherKey),
        shows: Shows::UpToTheAnchor,
    },
    Attack {
        what: "everything rewritten, signed with the stolen key",
        forge: |log, place| rewrite(log, place, Signature::StolenKey),
        statements: |target, place| rewrite_sql(target, place, Signature::StolenKey),
        shows: Shows::UpToTheAnchorAtLeast,
    },
    Attack {
        what: "one row rewritten with its leaf",
        forge: rewrite_one,
        statements: rewrite_one_sql,
        shows: Shows::BetweenHeads,
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
    for n in 0..PLACES {
        let place = random(ROWS - 1);
        let mut forged = target.log.clone();
        (attack.forge)(&mut forged, place);
        let forged = forged.export();
        if n < COPIES {
            let exported = target.attacked(&(attack.statements)(target, place));
            assert!(exported == forged, "{} at {place}: the database's export is another", attack.what);
        }
        attack.shows.check(target, place, &target.findings(&forged), attack.what);
    }
}

/// Two checkpoints swap their notes and roots.
#[tokio::test(flavor = "multi_thread")]
async fn swapped_checkpoints_are_found_at_the_first_of_them() {
    let target = Target::fill().await;
    let sizes: Vec<u64> = target.log.heads.keys().copied().collect();
    for n in 0..PLACES {
        let one = random(sizes.len() as u64 - 1);
        let other = sizes[(one + 1 + random(sizes.len() as u64 - 1 - one)) as usize];
        let one = sizes[one as usize];
        let mut forged = target.log.clone();
        let notes = (forged.heads[&one].clone(), forged.heads[&other].clone());
        forged.heads.extend([(one, notes.1), (other, notes.0)]);
        let forged = forged.export();
        if n < COPIES {
            let statements = format!(
                "create temporary table notes as select tree_size, note, root_hash from audit_checkpoints; \
                 update audit_checkpoints c set note = n.note, root_hash = n.root_hash from notes n \
                 where (c.tree_size, n.tree_size) in (({one}, {other}), ({other}, {one}))"
            );
            assert!(target.attacked(&statements) == forged, "{one} and {other}");
        }
        assert_eq!(target.findings(&forged)[0], (one, 1), "{one} and {other}");
    }
}

/// An attacker with the log's key can make everything consistent except the anchor.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_anchor_detects_a_log_that_continues_from_an_old_backup_with_the_right_key() {
    let target = Target::fill().await;
    for _ in 0..PLACES {
        let place = random(ROWS - 1);
        let mut forged = target.log.clone();
        roll_back(&mut forged, place);
        let forged = forged.export();
        assert_eq!(findings(&forged, None), [], "everything fits and is signed");
        let place = target.head_before(place);
        Shows::UpToTheAnchorAtLeast.check(&target, place, &target.findings(&forged), "a roll-back");
    }

    // A service without an anchor cannot detect it.
    let cluster = postgres::shared();
    let place = target.head_before(random(ROWS - 1));
    let copy = cluster.copy(&target.database);
    cluster.psql(&copy, &format!("{}{}", crate::target::DISARM, truncate_sql(&target, place)));
    let url = cluster.url(&copy);
    let server = Options::on(&url).start_ready().await;
    for n in 0..ROWS - place {
        assert_eq!(server.post("", images::jpeg(n, true)).await.status(), 200);
    }
    sequenced(&url, ROWS).await;
    drop(server);
    let folder = tempfile::tempdir().unwrap();
    let exported = export(&url, folder.path());
    assert_eq!(verify(&exported, &[]).0, 0, "every checkpoint of it is signed");
    let text = std::fs::read_to_string(&exported).unwrap();
    let (from, n) = target.findings(&text)[0];
    assert!(from >= place && from + n <= target.anchor_after(place), "{place}: {from}, {n}");
}
