//! `sigillo sla`: the service levels of a period, read where the log is.

use embedded::Provider;
use pec::Instant;
use stages::{
    levels::{Levels, Meter, Times},
    log::LogEntry,
};

use super::{CommandError, deployment::Operator, now, print, print_json};
use crate::{cli::Sla, folder::Folder};

/// Outages that are printed, the longest ones; `--json` has all.
const SHOWN: usize = 20;

/// Measures and prints.
///
/// # Errors
/// [`CommandError`] when there is no provider, or it cannot be read.
pub fn run(args: &Sla) -> Result<u8, CommandError> {
    // The present second is in it.
    let mut meter = Meter::new(args.period, args.agreed_s, now().plus_s(1));
    let (from, to) = meter.wants();
    let take = |entry: LogEntry| meter.take(&entry);
    match &args.provider.aws {
        Some(description) => Operator::open(description)?.log_between(from, to, take)?,
        None => of_folder(&Folder::new(&args.provider.data), from, to, take)?,
    }
    let levels = meter.finish();
    if args.provider.json {
        print_json(&levels)?;
    } else {
        show(&levels)?;
    }
    Ok(u8::from(!levels.kept))
}

fn of_folder(
    folder: &Folder,
    from: Instant,
    to: Instant,
    take: impl FnMut(LogEntry),
) -> Result<(), CommandError> {
    Provider::read_log_between(folder.root(), from, to, take).map_err(|error| CommandError::File {
        path: folder.root().to_owned(),
        why: format!("failed to {error}"),
    })
}

fn show(levels: &Levels) -> std::io::Result<()> {
    let Levels { period, from, to, agreed_s, .. } = levels;
    print(&format!("period        {period}, measured {from} to {to}"))?;
    print(&format!("letters       {} accepted, {} refused", levels.accepted, levels.refused))?;
    print(&format!("decision      {}", times(&levels.decision)))?;
    print(&format!("receipt       {}", times(&levels.receipt)))?;
    print(&format!("over {agreed_s:>6} s {} letters", levels.over_agreed))?;
    print(&format!("delivery      {}", times(&levels.delivery)))?;
    let kept = |is: i64, max: i64| if is <= max { "kept" } else { "not kept" };
    let Levels { down_s, down_s_max, longest_outage_s, outage_s_max, .. } = *levels;
    print(&format!("available     {} %, of 99.8", levels.available_percent))?;
    print(&format!("down          {down_s} s, of {down_s_max}: {}", kept(down_s, down_s_max)))?;
    let one = kept(longest_outage_s, outage_s_max);
    print(&format!("one outage    {longest_outage_s} s, of {outage_s_max}: {one}"))?;
    print(&format!("silence       {} s at most, in no figure", levels.longest_silence_s))?;
    let mut outages = levels.outages.clone();
    outages.sort_by_key(|o| o.from.unix_s() - o.to.unix_s());
    outages.iter().take(SHOWN).try_for_each(|o| print(&format!("outage        {} to {}", o.from, o.to)))
}

fn times(times: &Times) -> String {
    let Times { count, median_s, p95_s, p99_s, max_s } = times;
    format!("median {median_s} s, 95 % {p95_s} s, 99 % {p99_s} s, at most {max_s} s ({count})")
}
