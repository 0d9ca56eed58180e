//! The tree over the entries of a segment (RFC 6962 §2.1): its root, and the way from one entry to it, which shows that
//! the entry is in the segment without showing any other.

/// A digest.
pub type Hash = [u8; 32];

fn leaf(line: &[u8]) -> Hash {
    smime::sha256([&[0][..], line])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    smime::sha256([&[1][..], left, right])
}

/// The largest power of two below a number, which is two at least.
const fn split(leaves: usize) -> usize {
    1 << (usize::BITS - 1 - (leaves - 1).leading_zeros())
}

/// The root (§2.1): of no entries the digest of nothing.
#[must_use]
pub fn root(lines: &[&[u8]]) -> Hash {
    match lines {
        [] => smime::sha256([[]; 0] as [[u8; 0]; 0]),
        [only] => leaf(only),
        _ => {
            let (left, right) = lines.split_at(split(lines.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The way from an entry up to the root (§2.1.1): what stands beside it at each step. `None` if there is no such entry.
#[must_use]
pub fn path(lines: &[&[u8]], index: usize) -> Option<Vec<Hash>> {
    match lines {
        [] => None,
        [_] => (index == 0).then(Vec::new),
        _ => {
            let at = split(lines.len());
            let (left, right) = lines.split_at(at);
            let (mut way, beside) = match index.checked_sub(at) {
                None => (path(left, index)?, root(right)),
                Some(index) => (path(right, index)?, root(left)),
            };
            way.push(beside);
            Some(way)
        }
    }
}

/// The root that an entry with this way leads to, as the one at `index` of so many; `None` if the way has another length.
#[must_use]
pub fn climb(line: &[u8], index: usize, leaves: usize, way: &[Hash]) -> Option<Hash> {
    if index >= leaves {
        return None;
    }
    if leaves == 1 {
        return way.is_empty().then(|| leaf(line));
    }
    let (beside, below) = way.split_last()?;
    let at = split(leaves);
    Some(match index.checked_sub(at) {
        None => node(&climb(line, index, at, below)?, beside),
        Some(index) => node(beside, &climb(line, index, leaves - at, below)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of the reference implementation of RFC 6962: eight leaves.
    const LEAVES: [&str; 8] =
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
    fn roots_are_those_of_rfc_6962() {
        let leaves: Vec<Vec<u8>> = LEAVES.iter().map(|leaf| hex::decode(leaf).unwrap()).collect();
        let lines: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
        for (n, expected) in ROOTS.iter().enumerate() {
            assert_eq!(hex::encode(root(&lines[..=n])), *expected, "{n}");
        }
        let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(root(&[])), nothing);
    }

    #[test]
    fn every_way_leads_to_the_root_and_no_other_does() {
        for leaves in 1..40_usize {
            let texts: Vec<String> = (0..leaves).map(|n| n.to_string()).collect();
            let lines: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
            let root = root(&lines);
            for (index, line) in lines.iter().enumerate() {
                let way = path(&lines, index).unwrap();
                assert_eq!(climb(line, index, leaves, &way), Some(root));
                assert_ne!(climb(b"another", index, leaves, &way), Some(root));
                assert_ne!(climb(line, (index + 1) % leaves, leaves, &way), (leaves > 1).then_some(root));
                assert_eq!(climb(line, leaves, leaves, &way), None);
                let longer = [&way[..], &[[0; 32]]].concat();
                assert_ne!(climb(line, index, leaves, &longer), Some(root));
            }
            assert_eq!(path(&lines, leaves), None);
        }
    }
}
