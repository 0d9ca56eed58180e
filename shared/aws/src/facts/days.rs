//! Letters of many days, by the index `by-day` of the log, with all their entries: for figures over a period.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use pec::Instant;
use stages::{
    ids::Side,
    log::{Event, LogEntry},
    ports::{Facts as _, FactsError},
};

use super::{
    DynamoFacts, failed,
    item::{self, s},
    schema::{AT, BY_DAY_INDEX, DAY, DAY_SHARDS, PK, SK},
};

/// Requests under way at a time.
const PARALLEL: usize = 16;
const DAY_S: i64 = 86_400;

impl DynamoFacts {
    /// The entries of every letter of our users that was decided from one instant to before another, letter by letter in
    /// the order of decision. Sixteen queries for each day, and one for each letter.
    ///
    /// # Errors
    /// [`FactsError`]
    pub async fn letters_between(
        &self,
        from: Instant,
        to: Instant,
        mut take: impl FnMut(LogEntry),
    ) -> Result<(), FactsError> {
        // An index is read by day, and a day begins at midnight.
        let midnights =
            (from.unix_s().div_euclid(DAY_S)..=to.unix_s().div_euclid(DAY_S)).map(|day| day * DAY_S);
        for midnight in midnights {
            let day = Instant::from_unix_s(midnight);
            let shards = stream::iter((0..DAY_SHARDS).map(|shard| self.decided(day, shard)));
            let found: Vec<Vec<(Instant, String)>> = shards.buffer_unordered(PARALLEL).try_collect().await?;
            let within = |at: &Instant| (from..to).contains(at);
            let decided: BTreeSet<_> = found.into_iter().flatten().filter(|(at, _)| within(at)).collect();
            let logs = stream::iter(&decided).map(|(_, pec_id)| self.log(pec_id)).buffered(PARALLEL);
            logs.try_for_each(|entries| {
                entries.into_iter().for_each(&mut take);
                std::future::ready(Ok(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Letters of one shard of a day: when they were accepted or refused, and their ids.
    async fn decided(&self, day: Instant, shard: u8) -> Result<Vec<(Instant, String)>, FactsError> {
        let kinds =
            [Event::Accepted, Event::Refused].map(|e| format!("{}#{}#", Side::Origin.name(), e.name()));
        let mut items = self
            .client
            .query()
            .table_name(&self.tables.log)
            .index_name(BY_DAY_INDEX)
            .key_condition_expression("#day = :day")
            .expression_attribute_names("#day", DAY)
            .expression_attribute_values(":day", s(item::day(day, shard)))
            .into_paginator()
            .items()
            .send();
        let mut letters = Vec::new();
        while let Some(found) = items.next().await {
            let found = found.map_err(|e| failed(&e))?;
            let text = |name: &str| found.get(name).and_then(|value| value.as_s().ok());
            let (Some(pk), Some(sk), Some(at)) = (text(PK), text(SK), text(AT)) else {
                return Err(FactsError::Damaged("the index by-day: a field is missing".to_owned()));
            };
            if kinds.iter().any(|kind| sk.starts_with(kind)) {
                let at = Instant::parse(at).map_err(|e| FactsError::Damaged(e.to_string()))?;
                letters.push((at, pk.clone()));
            }
        }
        Ok(letters)
    }
}
