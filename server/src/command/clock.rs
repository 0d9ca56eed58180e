//! `sigillo clock`: how far the clock is off, and when it was more than a second.

use serde_json::json;

use super::{
    CommandError, now,
    operate::{operate, strange},
    print, print_json,
};
use crate::{
    cli::Clock,
    operator::{Done, Operation},
};

/// Prints what was measured last, and the crossings of a month.
///
/// # Errors
/// [`CommandError`]
pub fn run(args: &Clock) -> Result<u8, CommandError> {
    let month = args.month.clone().unwrap_or_else(|| now().month());
    let Done::Clock { last, history } = operate(&args.provider, Operation::Clock { month })? else {
        return Err(strange());
    };
    let is_right = last.as_ref().is_some_and(|last| !last.is_off);
    if args.provider.json {
        print_json(&json!({ "last": last, "history": history }))?;
        return Ok(u8::from(!is_right));
    }
    match &last {
        None => print("clock     never compared: sigillo up --time-server HOST")?,
        Some(last) => {
            let state = if last.is_off { "off" } else { "right" };
            print(&format!("clock     {state} since {}", last.since))?;
            print(&format!("offset    {} ms, measured {}", last.offset_ms, last.at))?;
        }
    }
    for entry in &history {
        let offset = entry.detail.as_deref().unwrap_or_default();
        print(&format!("{}  {:<11} {offset}", entry.last, entry.event.name()))?;
    }
    Ok(u8::from(!is_right))
}
