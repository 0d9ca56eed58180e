//! After a loss (docs/operations.md): rows come back from tables that DynamoDB restored beside the stack's own, and then
//! every act that was ever issued is compared with the legal log and with what is stored.
//!
//! A row is only written where there is none: a stage that finds a newer one goes on from it. Letters and log entries
//! are never removed, so one that is missing was lost. Rows of mailboxes are removed all the time, so a mailbox comes
//! back whole or not at all: its head is written last. In the registry a missing row may be a password that was
//! revoked, so somebody has to say that it is wanted. Power fails at any point: the same once more.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    operation::{put_item::PutItemError, scan::builders::ScanFluentBuilder},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use stages::{
    Rim, StageError,
    custody::{Audited, Copied, Verdict, is_logged, judge},
    ports::{FactsError, StoredRow, Table},
    rim,
    rows::ActRow,
};

use crate::{
    clients::tell,
    config::Tables,
    facts::{
        Item,
        item::{s, stored},
        schema::{PK, SK},
    },
};

/// Rows that are written, and acts that are looked at, at the same time. An act is a message in memory.
const AT_ONCE: usize = 8;
/// The row without which there is no mailbox.
const HEAD: &str = "head";
/// What keys of acts begin with.
const ACTS: &str = "act#";
/// Faults that are told; all are counted.
const TOLD_MAX: usize = 100;

/// Why it was not finished. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// None of the tables is there under its name with this suffix.
    #[error("find a restored table: there is no {0}")]
    None(String),
    /// DynamoDB.
    #[error("use the table {0}: {1}")]
    Table(String, String),
    /// A row that is none of ours.
    #[error(transparent)]
    Row(#[from] FactsError),
    /// The log, or a blob.
    #[error(transparent)]
    Stage(#[from] StageError),
}

/// Copies what is missing from the tables whose names are those of the stack with a suffix; tables that are not there
/// were not restored. Answers what became of each.
///
/// # Errors
/// [`RestoreError`]; what was copied stays, and the same call goes on.
pub async fn copy(
    client: &Client,
    tables: &Tables,
    suffix: &str,
    with_registry: bool,
) -> Result<Vec<Copied>, RestoreError> {
    let mut done = Vec::new();
    for (name, whole) in
        [(&tables.log, false), (&tables.letters, false), (&tables.mailboxes, true), (&tables.registry, false)]
    {
        let copier = Copier { client, from: format!("{name}{suffix}"), to: name };
        if !copier.exists().await? {
            continue;
        }
        let mut copied = Copied { table: name.clone(), ..Copied::default() };
        if whole {
            copier.partitions(&mut copied).await?;
        } else if name == &tables.registry && !with_registry {
            copier.count(&mut copied).await?;
        } else {
            copier.rows(copier.scan(), &mut copied).await?;
        }
        done.push(copied);
    }
    if done.is_empty() { Err(RestoreError::None(format!("{}{suffix}", tables.letters))) } else { Ok(done) }
}

/// From one table to another of the same keys.
struct Copier<'a> {
    client: &'a Client,
    from: String,
    to: &'a str,
}

impl Copier<'_> {
    async fn exists(&self) -> Result<bool, RestoreError> {
        match self.client.describe_table().table_name(&self.from).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {
                Ok(false)
            }
            Err(error) => Err(failed(&self.from, tell(&error))),
        }
    }

    fn scan(&self) -> ScanFluentBuilder {
        self.client.scan().table_name(&self.from).consistent_read(true)
    }

    /// Every row that a scan finds.
    async fn rows(&self, scan: ScanFluentBuilder, copied: &mut Copied) -> Result<(), RestoreError> {
        let mut pages = scan.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed(&self.from, tell(&error)))?;
            self.write(page.items.unwrap_or_default(), copied).await?;
        }
        Ok(())
    }

    /// Every mailbox of which the head is missing: first the other rows, then the head.
    async fn partitions(&self, copied: &mut Copied) -> Result<(), RestoreError> {
        let scan = |filter: &str| {
            let scan = self.scan().expression_attribute_names("#sk", SK).filter_expression(filter);
            scan.expression_attribute_values(":head", s(HEAD))
        };
        let mut missing: HashMap<String, bool> = HashMap::new();
        let mut pages = scan("#sk <> :head").into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed(&self.from, tell(&error)))?;
            let mut wanted = Vec::new();
            for item in page.items.unwrap_or_default() {
                let Some(Ok(mailbox)) = item.get(PK).map(|pk| pk.as_s().cloned()) else { continue };
                if !missing.contains_key(&mailbox) {
                    missing.insert(mailbox.clone(), !self.has_head(&mailbox).await?);
                }
                match missing.get(&mailbox) {
                    Some(true) => wanted.push(item),
                    _ => copied.left += 1,
                }
            }
            self.write(wanted, copied).await?;
        }
        self.rows(scan("#sk = :head"), copied).await
    }

    async fn has_head(&self, mailbox: &str) -> Result<bool, RestoreError> {
        let get = self.client.get_item().table_name(self.to).consistent_read(true);
        let get = get.key(PK, s(mailbox)).key(SK, s(HEAD));
        let found = get.send().await.map_err(|error| failed(self.to, tell(&error)))?;
        Ok(found.item.is_some())
    }

    /// Rows that somebody has to ask for.
    async fn count(&self, copied: &mut Copied) -> Result<(), RestoreError> {
        let mut pages = self.scan().into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed(&self.from, tell(&error)))?;
            copied.left += page.items.unwrap_or_default().len() as u64;
        }
        Ok(())
    }

    async fn write(&self, items: Vec<Item>, copied: &mut Copied) -> Result<(), RestoreError> {
        let mut written =
            stream::iter(items.into_iter().map(|item| self.put(item))).buffer_unordered(AT_ONCE);
        while let Some(new) = written.try_next().await? {
            if new {
                copied.copied += 1;
            } else {
                copied.there += 1;
            }
        }
        Ok(())
    }

    /// Writes a row as it was, version and debt and all, where there is none.
    async fn put(&self, item: Item) -> Result<bool, RestoreError> {
        let put = self.client.put_item().table_name(self.to).set_item(Some(item));
        let put = put.condition_expression("attribute_not_exists(#pk)").expression_attribute_names("#pk", PK);
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(failed(self.to, tell(&error))),
        }
    }
}

/// Compares every act that was issued with the legal log and with what is stored. Reads all of the table of letters.
///
/// # Errors
/// [`RestoreError`] where something cannot be read; what is wrong is no error but told.
pub async fn audit(client: &Client, tables: &Tables, rim: &Rim) -> Result<Audited, RestoreError> {
    let mut audited = Audited::default();
    let scan = client.scan().table_name(&tables.letters).consistent_read(true);
    let scan = scan.filter_expression("begins_with(#sk, :acts)").expression_attribute_names("#sk", SK);
    let mut pages = scan.expression_attribute_values(":acts", s(ACTS)).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| failed(&tables.letters, tell(&error)))?;
        let items = page.items.unwrap_or_default();
        let mut verdicts = stream::iter(items.iter().map(|item| look(rim, item))).buffer_unordered(AT_ONCE);
        while let Some((name, verdict)) = verdicts.try_next().await? {
            match verdict {
                Verdict::Owed => {}
                Verdict::Whole => audited.acts += 1,
                Verdict::RemovedByHolder => {
                    audited.acts += 1;
                    audited.acts_removed_by_holders += 1;
                }
                Verdict::Fault(why) => {
                    audited.faulty += 1;
                    if audited.faults.len() < TOLD_MAX {
                        audited.faults.push(format!("{name}: {why}"));
                    }
                }
            }
        }
    }
    Ok(audited)
}

/// An act's name and what it is found to be.
async fn look(rim: &Rim, item: &Item) -> Result<(String, Verdict), RestoreError> {
    let StoredRow { row, .. } = stored(Table::Letters, item)?;
    let act: ActRow = rim::body(&row.key, &row.body)?;
    if act.issued.is_none() {
        return Ok((act.target.to_string(), Verdict::Owed));
    }
    let entries = rim.facts.log(&act.logged_under()).await?;
    let octets = rim.blobs.get(&act.target).await.map_err(StageError::from)?;
    let sha256 = octets.map(|octets| hex::encode(smime::sha256([octets])));
    let verdict = judge(&act, is_logged(&act, &entries), sha256.as_deref());
    Ok((act.target.to_string(), verdict))
}

fn failed(table: &str, why: String) -> RestoreError {
    RestoreError::Table(table.to_owned(), why)
}
