//! Arguments of how large letters may be.

use clap::Args;
use pec::check::Limits;

/// Recipients that the law wants at least (DM 2 November 2005 art. 12), and that one commit of a letter is made for.
const RECIPIENTS_MIN: u64 = 50;
const RECIPIENTS_MAX: u64 = 500;
/// MiB times recipients that the law wants at least.
const PRODUCT_MIB_MIN: u64 = 30;
/// What a door takes must hold the largest letter, with what travels beside it.
const TECHNICAL_MIB_MIN: u64 = 40;
/// More is kept in memory nowhere.
const MIB_MAX: u64 = 1024;

/// How large letters may be (spec 4.2, 0.2 D3). Above the first two a letter is not accepted, and its sender gets the notice;
/// above the third a door says no.
#[derive(Clone, Debug, Args)]
pub struct LetterLimits {
    /// Recipients of one letter; at least 50 by law
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(RECIPIENTS_MIN..=RECIPIENTS_MAX))]
    pub recipients_max: u64,
    /// Size times recipients of one letter, in MiB; at least 30 by law
    #[arg(long, value_name = "MIB", default_value_t = 30, value_parser = clap::value_parser!(u64).range(PRODUCT_MIB_MIN..=MIB_MAX))]
    pub product_mib_max: u64,
    /// Size of one message at a door, in MiB; no less than the one before
    #[arg(long, value_name = "MIB", default_value_t = 100, value_parser = clap::value_parser!(u64).range(TECHNICAL_MIB_MIN..=MIB_MAX))]
    pub technical_mib_max: u64,
}

impl LetterLimits {
    /// As the stages take them.
    ///
    /// # Errors
    /// In words, where a letter within one limit would be over another.
    pub fn limits(&self) -> Result<Limits, String> {
        if self.technical_mib_max < self.product_mib_max {
            return Err("a letter within --product-mib-max must be within --technical-mib-max".to_owned());
        }
        Ok(Limits {
            recipients_max: usize::try_from(self.recipients_max).unwrap_or(usize::MAX),
            product_bytes_max: self.product_mib_max << 20,
            technical_bytes_max: self.technical_mib_max << 20,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        limits: LetterLimits,
    }

    fn read(words: &[&str]) -> Result<LetterLimits, clap::Error> {
        Line::try_parse_from([&["sigillo"], words].concat()).map(|line| line.limits)
    }

    /// DM 2 November 2005 art. 12(2).
    #[test]
    fn no_limit_is_below_the_laws() {
        assert_eq!(read(&[]).unwrap().limits(), Ok(Limits::default()));
        for words in [["--recipients-max", "49"], ["--product-mib-max", "29"], ["--technical-mib-max", "39"]]
        {
            assert!(read(&words).is_err(), "{words:?}");
        }
        let more = read(&["--recipients-max", "50", "--product-mib-max", "90"]).unwrap();
        assert_eq!(more.limits().unwrap().product_bytes_max, 90 << 20);
        assert!(read(&["--product-mib-max", "101"]).unwrap().limits().is_err());
    }
}
