//! Names of attributes and indexes: what template.yaml declares and operators query (docs/data-model.md).
//!
//! **Tables of rows** (`letters`, `mailboxes`, `registry`), all of one form:
//!
//! | Attribute | Type | |
//! |---|---|---|
//! | `pk`, `sk` | S | the key |
//! | `version` | N | counts the writes of the row |
//! | `body` | M | the row's fields by their names |
//! | `body_text` | S | instead of `body`, for JSON that a map cannot hold as it is |
//! | `job` | S | the debt's job: its name if it is about this row, as it mostly is, else as JSON; present while the row owes work |
//! | `owed_since`, `due` | S | instants of the debt, RFC 3339 in UTC |
//! | `due_shard` | S | `0` to `7`, from the hash of `pk`; present while the row owes work |
//! | `lookup_pk`, `lookup_sk` | S | place in the index `lookup`, if any |
//!
//! Sparse indexes, keys only: `due` (`due_shard`, `due`), `lookup` (`lookup_pk`, `lookup_sk`). Reads by an index are
//! completed from the table, so what an index says late is seen as it is now.
//!
//! **The legal log**: `pk` is the PEC id, `sk` is `side#event#discriminator`; the fields of
//! [`LogEntry`](stages::log::LogEntry) by their names, and
//!
//! | Attribute | Type | |
//! |---|---|---|
//! | `committed` | S | when and in which place of its commit it was written: the order of the log |
//! | `sender_month` | S | `sender#yyyy-mm#shard`, the sender in lower case, shard `0` to `3` |
//! | `client_sha256` | S | SHA-256 of the client's Message-ID, hex; absent without one |
//! | `day` | S | `yyyy-mm-dd#shard`, shard `00` to `15` |
//!
//! The last three are on the entries that begin something: `accepted`, `refused`, `ordinary-refused`, and `received` of
//! what is not our own. The other entries are found by their PEC id; all entries of a day lie in the vault ([`crate::notarize`]).
//!
//! Sparse indexes, keys only, ordered by `at`: `by-sender` (`sender_month`), `by-client` (`client_sha256`), `by-day`
//! (`day`). Shards are taken from the hash of the PEC id.

use aws_sdk_dynamodb::{
    Client,
    operation::create_table::CreateTableError,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType,
    },
};
use stages::ports::{FactsError, Table};

use super::{failed, mistake};
use crate::config::Tables;

/// Partition key of every table.
pub const PK: &str = "pk";
/// Sort key of every table.
pub const SK: &str = "sk";
/// Counts the writes of a row.
pub const VERSION: &str = "version";
/// The fields of a row.
pub const BODY: &str = "body";
/// The fields of a row that a map cannot hold.
pub const BODY_TEXT: &str = "body_text";
/// The job that pays the debt.
pub const JOB: &str = "job";
/// Since when it is owed.
pub const OWED_SINCE: &str = "owed_since";
/// When the hint is to be sent (again).
pub const DUE: &str = "due";
/// Partition of the index `due`.
pub const DUE_SHARD: &str = "due_shard";
/// Partition of the index `lookup`.
pub const LOOKUP_PK: &str = "lookup_pk";
/// Order of the index `lookup`.
pub const LOOKUP_SK: &str = "lookup_sk";

/// Index of what is owed.
pub const DUE_INDEX: &str = "due";
/// Second way to rows.
pub const LOOKUP_INDEX: &str = "lookup";

/// The order of the log.
pub const COMMITTED: &str = "committed";
/// The instant of the event; the order of the log's indexes.
pub const AT: &str = "at";
/// Partition of `by-sender`.
pub const SENDER_MONTH: &str = "sender_month";
/// Partition of `by-client`.
pub const CLIENT_SHA256: &str = "client_sha256";
/// Partition of `by-day`.
pub const DAY: &str = "day";
/// Entries of a sender's month.
pub const BY_SENDER_INDEX: &str = "by-sender";
/// Entries by the client's Message-ID.
pub const BY_CLIENT_INDEX: &str = "by-client";
/// Entries of a day.
pub const BY_DAY_INDEX: &str = "by-day";

/// Shards of the index `due`.
pub const DUE_SHARDS: u8 = 8;
/// Shards of one sender's month in the log.
pub const SENDER_SHARDS: u8 = 4;
/// Shards of one day in the log.
pub const DAY_SHARDS: u8 = 16;

/// The shard of a key among `shards`.
pub(crate) fn shard(of: &str, shards: u8) -> u8 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, of.as_bytes());
    digest.as_ref().first().copied().unwrap_or(0) % shards.max(1)
}

/// Makes the four tables, as template.yaml declares them: for tests and for emulators without CloudFormation.
/// Tables that are there stay as they are.
///
/// # Errors
/// [`FactsError::Unavailable`] with what the service says.
pub async fn create(client: &Client, tables: &Tables) -> Result<(), FactsError> {
    for table in [Table::Letters, Table::Mailboxes, Table::Registry] {
        let indexes = [(DUE_INDEX, DUE_SHARD, DUE), (LOOKUP_INDEX, LOOKUP_PK, LOOKUP_SK)];
        create_one(client, tables.rows(table), &indexes, false).await?;
    }
    let indexes =
        [(BY_SENDER_INDEX, SENDER_MONTH, AT), (BY_CLIENT_INDEX, CLIENT_SHA256, AT), (BY_DAY_INDEX, DAY, AT)];
    create_one(client, &tables.log, &indexes, true).await
}

async fn create_one(
    client: &Client,
    name: &str,
    indexes: &[(&str, &str, &str)],
    stream: bool,
) -> Result<(), FactsError> {
    let mut strings = vec![PK, SK];
    strings.extend(indexes.iter().flat_map(|(_, pk, sk)| [*pk, *sk]));
    strings.sort_unstable();
    strings.dedup();
    let mut request = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(keys(PK, SK)?))
        .set_attribute_definitions(Some(strings.into_iter().map(string).collect::<Result<_, _>>()?));
    for (index, pk, sk) in indexes {
        let projection = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
        let index = GlobalSecondaryIndex::builder()
            .index_name(*index)
            .set_key_schema(Some(keys(pk, sk)?))
            .projection(projection)
            .build()
            .map_err(mistake)?;
        request = request.global_secondary_indexes(index);
    }
    if stream {
        let both = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build()
            .map_err(mistake)?;
        request = request.stream_specification(both);
    }
    match request.send().await {
        Err(e) if e.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) => Ok(()),
        Err(error) => Err(failed(&error)),
        Ok(_) => Ok(()),
    }
}

fn keys(pk: &str, sk: &str) -> Result<Vec<KeySchemaElement>, FactsError> {
    [(pk, KeyType::Hash), (sk, KeyType::Range)]
        .into_iter()
        .map(|(name, kind)| KeySchemaElement::builder().attribute_name(name).key_type(kind).build())
        .collect::<Result<_, _>>()
        .map_err(mistake)
}

fn string(name: &str) -> Result<AttributeDefinition, FactsError> {
    AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(ScalarAttributeType::S)
        .build()
        .map_err(mistake)
}
