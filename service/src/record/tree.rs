//! The Merkle tree of RFC 9162, section 2.1. Appending a leaf needs only the hashes of the tree's right edge.

use std::collections::BTreeMap;
use tlog_tiles::{
    Error, Hash, HashReader, stored_hash_index, stored_hashes_for_record_hash, sub_tree_index, tree_hash,
};

/// Positions and hashes of complete subtrees (`tlog_tiles::stored_hash_index` numbers them).
#[derive(Debug, Clone, Default)]
pub struct Hashes(BTreeMap<u64, Hash>);

impl FromIterator<(u64, Hash)> for Hashes {
    fn from_iter<T: IntoIterator<Item = (u64, Hash)>>(hashes: T) -> Self {
        Self(hashes.into_iter().collect())
    }
}

impl HashReader for Hashes {
    fn read_hashes(&self, positions: &[u64]) -> Result<Vec<Hash>, Error> {
        let found = positions.iter().map(|position| self.0.get(position).copied());
        found.collect::<Option<_>>().ok_or(Error::IndexesNotInTree)
    }
}

/// The right edge of a tree: enough to append leaves and to compute the root.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    size: u64,
    hashes: Hashes,
}

impl Edge {
    /// The positions of the hashes in the edge of a tree of this size.
    pub fn positions(size: u64) -> Vec<u64> {
        sub_tree_index(0, size, Vec::new())
    }

    /// The edge of a tree of this size, from the hashes at [`positions`](Self::positions).
    pub const fn resume(size: u64, hashes: Hashes) -> Self {
        Self { size, hashes }
    }

    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf. Returns the position and hash of each subtree that it completes, the leaf first.
    pub fn append(&mut self, leaf: Hash) -> Result<Vec<(u64, Hash)>, Error> {
        let completed = stored_hashes_for_record_hash(self.size, leaf, &self.hashes)?;
        let first = stored_hash_index(0, self.size);
        let completed: Vec<(u64, Hash)> = (first..).zip(completed).collect();
        self.size += 1;
        self.hashes.0.extend(completed.iter().copied());
        let needed = Self::positions(self.size);
        self.hashes.0.retain(|position, _| needed.contains(position));
        Ok(completed)
    }

    pub fn root(&self) -> Result<Hash, Error> {
        tree_hash(self.size, &self.hashes)
    }
}

/// Records which hashes a computation reads. Run it with this reader, fetch the hashes, and run it again.
#[derive(Debug, Default)]
pub struct Asked(std::cell::RefCell<Vec<u64>>);

impl Asked {
    pub fn by<T>(compute: impl FnOnce(&Self) -> Result<T, Error>) -> Vec<u64> {
        let asked = Self::default();
        drop(compute(&asked));
        asked.0.into_inner()
    }
}

impl HashReader for Asked {
    fn read_hashes(&self, positions: &[u64]) -> Result<Vec<Hash>, Error> {
        self.0.borrow_mut().extend(positions);
        Err(Error::IndexesNotInTree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use tlog_tiles::{check_record, check_tree, prove_record, prove_tree, record_hash};

    /// The definition in RFC 9162, section 2.1.1.
    fn merkle_tree_hash(leaves: &[&[u8]]) -> [u8; 32] {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => Sha256::digest([&[0], *leaf].concat()).into(),
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(k);
                Sha256::digest([&[1][..], &merkle_tree_hash(left), &merkle_tree_hash(right)].concat()).into()
            }
        }
    }

    /// Test vectors of Certificate Transparency (`merkletree`): the nth root is of the first n inputs.
    const INPUTS: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn the_tree_has_the_published_roots() {
        let mut edge = Edge::default();
        assert_eq!(edge.root().unwrap().0, merkle_tree_hash(&[]));
        for (input, root) in INPUTS.iter().zip(ROOTS) {
            edge.append(record_hash(&hex::decode(input).unwrap())).unwrap();
            assert_eq!(hex::encode(edge.root().unwrap().0), root);
        }
    }

    const L0: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    const L1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    const L4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
    const L01: &str = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
    const L23: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    const L45: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
    const L67: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
    const L03: &str = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7";
    const L47: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";

    /// Proofs over the same inputs, from github.com/transparency-dev/merkle (`testdata`).
    #[test]
    fn proofs_are_the_published_ones() {
        let (mut edge, mut stored) = (Edge::default(), Hashes::default());
        for input in INPUTS {
            stored.0.extend(edge.append(record_hash(&hex::decode(input).unwrap())).unwrap());
        }
        let text = |proof: Vec<Hash>| proof.iter().map(|hash| hex::encode(hash.0)).collect::<Vec<_>>();
        // As the service computes them: record the positions, fetch the hashes, compute again.
        let read = |asked: Vec<u64>| -> Hashes {
            let hashes = stored.read_hashes(&asked).unwrap();
            asked.into_iter().zip(hashes).collect()
        };
        let inclusion: [(u64, u64, &[&str]); 5] = [
            (0, 1, &[]),
            (0, 8, &[L1, L23, L47]),
            (5, 8, &[L4, L67, L03]),
            (2, 3, &[L01]),
            (1, 5, &[L0, L23, L4]),
        ];
        for (index, size, published) in inclusion {
            let hashes = read(Asked::by(|asked| prove_record(size, index, asked)));
            assert_eq!(text(prove_record(size, index, &hashes).unwrap()), published, "{index} in {size}");
        }
        let consistency: [(u64, u64, &[&str]); 4] =
            [(1, 1, &[]), (1, 8, &[L1, L23, L47]), (6, 8, &[L45, L67, L03]), (2, 5, &[L23, L4])];
        for (from, to, published) in consistency {
            let hashes = read(Asked::by(|asked| prove_tree(to, from, asked)));
            assert_eq!(text(prove_tree(to, from, &hashes).unwrap()), published, "{from} to {to}");
        }
    }

    #[test]
    fn every_tree_is_the_one_of_the_definition_and_proves_every_leaf_and_every_earlier_tree() {
        let leaves: Vec<Vec<u8>> = (0..70_u8).map(|n| vec![n; usize::from(n)]).collect();
        let (mut edge, mut stored, mut roots) = (Edge::default(), Hashes::default(), Vec::new());
        for n in 1..=leaves.len() {
            stored.0.extend(edge.append(record_hash(&leaves[n - 1])).unwrap());
            let borrowed: Vec<&[u8]> = leaves[..n].iter().map(Vec::as_slice).collect();
            let root = edge.root().unwrap();
            assert_eq!(root.0, merkle_tree_hash(&borrowed), "{n} leaves");
            roots.push(root);
            let size = n as u64;
            for (index, leaf) in (0..).zip(&borrowed) {
                let proof = prove_record(size, index, &stored).unwrap();
                check_record(&proof, size, root, index, record_hash(leaf)).unwrap();
                assert!(check_record(&proof, size, root, index, record_hash(b"another")).is_err());
            }
            for (before, old) in (1..).zip(&roots) {
                check_tree(&prove_tree(size, before, &stored).unwrap(), size, root, before, *old).unwrap();
            }
            // A new leader resumes from the stored hashes.
            let positions = Edge::positions(size);
            let hashes = stored.read_hashes(&positions).unwrap();
            edge = Edge::resume(size, positions.into_iter().zip(hashes).collect());
        }
    }
}
