//! The crate against the `openssl` command line: what openssl makes we judge, what we make openssl verifies.
//! Every certificate, key and message is made here, at test time, in a temporary folder.
#![allow(clippy::unwrap_used, reason = "in a test helper a failure is a failed test")]

extern crate sigillo_smime as smime; // the name under which every other crate knows it

mod chains;
mod hostile;
mod openssl;
mod signing;
mod splitting;
mod timestamps;
mod variants;
