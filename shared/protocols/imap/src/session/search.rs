//! SEARCH and SORT (RFC 9051 §6.4.4, RFC 4731, RFC 5182, RFC 5256, RFC 5267).

mod plan;
mod text;

use std::{cmp::Ordering, collections::HashMap};

use mime::outline::{Addr, Envelope, Outline};
use stages::mailbox::{Entry, UidSet};

use super::{Accounts, Host, Session, message, selected::Selected};
use crate::{
    command::{By, Order, OrderBy, Results, Search},
    fault::{Ended, Fault, done},
    outlet::{Gone, Out, Outlet},
    subject,
};
use plan::{Known, Plan};

/// Rows that are in memory at a time.
const ROWS: usize = 200;
/// Octets of a text that are compared.
const SORTED_BYTES_MAX: usize = 256;

impl<A: Accounts> Session<A> {
    pub(super) async fn search<O: Outlet>(
        &mut self,
        tag: &str,
        search: Search,
        out: &mut Out<'_, O>,
    ) -> Ended {
        // 1. As it is now; what the client does not know of yet, it is told first.
        self.refresh().await?;
        self.tell(search.by == By::Uid, out).await?;
        let host = self.host.clone();
        let rev2 = self.enabled.rev2;
        let selected = self.selected()?;
        let saves = search.results.is_some_and(|results| results.save);
        let plan = Plan::new(&search.key, selected);
        let saved = std::mem::take(&mut selected.saved);
        selected.saved = if saves { UidSet::new() } else { saved };
        let plan = plan?;
        let modseq = plan.asks_modseq();
        self.enabled.condstore |= modseq;

        // 2. What is found, in order of UID; then in the order that is asked for.
        let selected = self.selected()?;
        let mut found = find(&host, selected, &plan).await?;
        if let Some(order) = &search.order {
            found = sorted(&host, selected, found, order).await?;
        }

        // 3. The answer.
        let numbers: Vec<u32> = match search.by {
            By::Uid => found.clone(),
            By::Sequence => found.iter().map(|uid| selected.sequence(*uid)).collect(),
        };
        let results = match search.results {
            None if rev2 && search.order.is_none() => Some(Results { all: true, ..Results::default() }),
            results => results,
        };
        let highest =
            |uids: &[u32]| uids.iter().filter_map(|uid| selected.entry(*uid)).map(|e| e.modseq).max();
        let Some(results) = results else {
            let modseq = if modseq { highest(&found) } else { None };
            old_answer(&numbers, search.order.is_some(), modseq, out).await?;
            return done("done");
        };
        let (first, last) = (found.first().copied(), found.last().copied());
        // RFC 9051 §6.4.4.1: with MIN and MAX alone, these are what is saved; RFC 4731 §3.2: and what MODSEQ is of.
        let few: Vec<u32> = match results.all || results.count || !(results.min || results.max) {
            true => found,
            false => first.filter(|_| results.min).into_iter().chain(last.filter(|_| results.max)).collect(),
        };
        let modseq = if modseq { highest(&few) } else { None };
        if results.save {
            selected.saved = few.into_iter().collect();
        }
        if results.min || results.max || results.all || results.count {
            new_answer(tag, search.by, results, search.order.is_some(), &numbers, modseq, out).await?;
        }
        done("done")
    }
}

/// The UIDs of all that match, in order.
async fn find(host: &Host, selected: &Selected, plan: &Plan) -> Result<Vec<u32>, Fault> {
    // 1. What can be told without a row.
    let mut found = Vec::new();
    let mut open = Vec::new();
    for (_, entry) in selected.numbered() {
        match plan.judge(&Known::of(entry)) {
            Some(true) => found.push(entry.uid),
            Some(false) => {}
            None => open.push(entry.uid),
        }
    }
    if open.is_empty() {
        return Ok(found);
    }

    // 2. The rest, row by row: by its outline, its header, its text, as far as it takes.
    for some in open.chunks(ROWS) {
        for known in message::known(host, selected, some, true).await? {
            let Some((entry, outline)) = selected.entry(known.row.uid).zip(known.outline.as_ref()) else {
                continue;
            };
            if plan.matches(host, entry, &known.row, outline).await? {
                found.push(entry.uid);
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// `* SEARCH 2 84 882 (MODSEQ 917162500)`
async fn old_answer<O: Outlet>(
    numbers: &[u32],
    sorted: bool,
    modseq: Option<u64>,
    out: &mut Out<'_, O>,
) -> Result<(), Gone> {
    out.writer.raw(if sorted { "* SORT" } else { "* SEARCH" });
    for number in numbers {
        out.writer.raw(" ").number(*number);
        out.pace().await?;
    }
    if let Some(modseq) = modseq {
        out.writer.raw(" (MODSEQ ").number(modseq).raw(")");
    }
    out.line("").await
}

/// `* ESEARCH (TAG "a") UID MIN 2 COUNT 3 ALL 2,10:11`
async fn new_answer<O: Outlet>(
    tag: &str,
    by: By,
    results: Results,
    sorted: bool,
    numbers: &[u32],
    modseq: Option<u64>,
    out: &mut Out<'_, O>,
) -> Result<(), Gone> {
    out.writer.raw("* ESEARCH (TAG ").string(tag).raw(")");
    if by == By::Uid {
        out.writer.raw(" UID");
    }
    if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
        if results.min {
            out.writer.raw(" MIN ").number(*first);
        }
        if results.max {
            out.writer.raw(" MAX ").number(*last);
        }
        if results.all {
            // RFC 5267 §3.1: sorted numbers keep their order.
            let set = match sorted {
                true => numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
                false => numbers.iter().copied().collect::<UidSet>().to_string(),
            };
            out.writer.raw(" ALL ").raw(set);
        }
    }
    if results.count {
        out.writer.raw(" COUNT ").number(numbers.len() as u64);
    }
    if let Some(modseq) = modseq {
        out.writer.raw(" MODSEQ ").number(modseq);
    }
    out.line("").await
}

/// What a message is sorted by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Sorted {
    Number(i64),
    Text(String),
}

/// The same UIDs in the order that is asked for; where all is equal, in order of arrival (RFC 5256 §3).
async fn sorted(
    host: &Host,
    selected: &Selected,
    found: Vec<u32>,
    order: &[Order],
) -> Result<Vec<u32>, Fault> {
    let outlines = order.iter().any(|order| !matches!(order.by, OrderBy::Arrival | OrderBy::Size));
    let mut keys: HashMap<u32, Vec<Sorted>> = HashMap::new();
    if outlines {
        for some in found.chunks(ROWS) {
            for known in message::known(host, selected, some, true).await? {
                let Some(entry) = selected.entry(known.row.uid) else { continue };
                let all = order.iter().map(|order| key(order.by, entry, known.outline.as_ref()));
                keys.insert(entry.uid, all.collect());
            }
        }
    } else {
        let entries = found.iter().filter_map(|uid| selected.entry(*uid));
        let all = |entry| order.iter().map(|order| key(order.by, entry, None)).collect();
        keys.extend(entries.map(|entry| (entry.uid, all(entry))));
    }
    let mut keyed: Vec<(u32, Vec<Sorted>)> = found.iter().filter_map(|uid| keys.remove_entry(uid)).collect();
    keyed.sort_by(|(_, a), (_, b)| {
        let compared = a.iter().zip(b).zip(order);
        let compared = compared.map(|((a, b), order)| if order.reverse { b.cmp(a) } else { a.cmp(b) });
        compared.fold(Ordering::Equal, Ordering::then)
    });
    Ok(keyed.into_iter().map(|(uid, _)| uid).collect())
}

fn key(by: OrderBy, entry: &Entry, outline: Option<&Outline>) -> Sorted {
    let envelope = outline.and_then(Outline::envelope);
    let first = |list: fn(&Envelope) -> &Vec<Addr>| {
        let first = envelope.and_then(|envelope| list(envelope).first());
        Sorted::Text(
            first.and_then(|addr| addr.mailbox.as_deref()).map(cut).unwrap_or_default().to_lowercase(),
        )
    };
    match by {
        OrderBy::Arrival => Sorted::Number(entry.received_at.unix_s()),
        OrderBy::Size => Sorted::Number(i64::from(entry.size_bytes)),
        OrderBy::Date => {
            let sent = envelope.and_then(|envelope| subject::sent(envelope.date.as_deref()?));
            Sorted::Number(sent.unwrap_or_else(|| entry.received_at.unix_s()))
        }
        OrderBy::From => first(|envelope| &envelope.from),
        OrderBy::To => first(|envelope| &envelope.to),
        OrderBy::Cc => first(|envelope| &envelope.cc),
        OrderBy::Subject => {
            let subject = envelope.and_then(|envelope| envelope.subject.as_deref()).unwrap_or_default();
            Sorted::Text(cut(&subject::base(subject)).to_owned())
        }
    }
}

/// The beginning of a text: what tells two of them apart is there.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(SORTED_BYTES_MAX)).unwrap_or(text)
}
