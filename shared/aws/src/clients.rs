//! The SDK's clients, made once per process. Timeouts, retries and throttling are decided here and nowhere else:
//! whoever calls a client sees an error only after the SDK has retried it with growing, jittered pauses.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{
    config::{
        interceptors::InterceptorContext,
        retry::{ClassifyRetry, RetryAction, RetryPartition, TokenBucket},
    },
    error::{ProvideErrorMetadata, SdkError},
    operation::{RequestId, transact_write_items::TransactWriteItemsError},
};
use aws_sdk_s3::operation::{copy_object::CopyObjectError, put_object::PutObjectError};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// Attempts of one call, the first included: with pauses of 50 ms, doubled each time, some three seconds.
const ATTEMPTS_MAX: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// One client for each service.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Tables.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Blobs.
    pub s3: aws_sdk_s3::Client,
    /// Hints.
    pub sqs: aws_sdk_sqs::Client,
    /// Keys.
    pub kms: aws_sdk_kms::Client,
    /// Ordinary mail, where SES carries it.
    pub ses: aws_sdk_sesv2::Client,
}

impl Clients {
    /// From region, credentials and `AWS_ENDPOINT_URL` of the environment.
    pub async fn from_env() -> Self {
        Self::new(&Self::environment(None).await)
    }

    /// What the environment says of credentials and endpoint; of the region, if none is given.
    pub async fn environment(region: Option<Region>) -> SdkConfig {
        // A TLS configuration reads the machine's root certificates: an endpoint without TLS needs none of it.
        let plain = std::env::var("AWS_ENDPOINT_URL").is_ok_and(|url| url.starts_with("http://"));
        let http = aws_smithy_http_client::Builder::new();
        let http = if plain {
            http.build_http()
        } else {
            http.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https()
        };
        let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
        let loader = match region {
            Some(region) => loader.region(region),
            None => loader,
        };
        loader.load().await
    }

    /// From what is known of region, credentials and endpoint. With an endpoint given, S3 is addressed by path.
    #[must_use]
    pub fn new(shared: &SdkConfig) -> Self {
        let shared =
            shared.clone().into_builder().retry_config(retries()).timeout_config(timeouts(20)).build();
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(&shared)
            .retry_partition(patient())
            .retry_classifier(Conflict)
            .build();
        let s3 = aws_sdk_s3::config::Builder::from(&shared)
            .timeout_config(timeouts(120)) // bodies of up to 100 MB
            .force_path_style(shared.endpoint_url().is_some())
            .retry_classifier(Conflict)
            .build();
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sqs: aws_sdk_sqs::Client::new(&shared),
            kms: aws_sdk_kms::Client::new(&shared),
            ses: aws_sdk_sesv2::Client::new(&shared),
        }
    }
}

fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(ATTEMPTS_MAX)
        .with_initial_backoff(FIRST_PAUSE)
        .with_max_backoff(PAUSE_MAX)
}

fn timeouts(attempt_s: u64) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(attempt_s))
        .build()
}

/// Transactions on one row conflict by design (a mailbox head), so a conflict costs less of the budget of retries
/// than a failure does.
fn patient() -> RetryPartition {
    let bucket = TokenBucket::builder().capacity(500).throttling_retry_cost(1).success_reward(1.0).build();
    RetryPartition::custom("facts").token_bucket(bucket).build()
}

/// Somebody else was writing the same thing: nothing was decided, so the same call is made again.
///
/// DynamoDB reports it among the reasons of a cancelled transaction, S3 as a 409 of a conditional write; neither is
/// retried by the SDK of itself. They are classified as throttling: the connection is good.
#[derive(Debug)]
struct Conflict;

impl ClassifyRetry for Conflict {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else { return RetryAction::NoActionIndicated };
        let Some(error) = error.as_operation_error() else { return RetryAction::NoActionIndicated };
        let again = if let Some(error) = error.downcast_ref::<TransactWriteItemsError>() {
            is_undecided(error)
        } else if let Some(error) = error.downcast_ref::<PutObjectError>() {
            is_s3_conflict(error.code())
        } else if let Some(error) = error.downcast_ref::<CopyObjectError>() {
            is_s3_conflict(error.code())
        } else {
            false
        };
        if again { RetryAction::throttling_error() } else { RetryAction::NoActionIndicated }
    }

    fn name(&self) -> &'static str {
        "conflicts of conditional writes"
    }
}

/// A transaction that was cancelled without any condition having failed: by a conflict, or by throttling.
fn is_undecided(error: &TransactWriteItemsError) -> bool {
    match error {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => {
            let codes: Vec<&str> = cancelled
                .cancellation_reasons()
                .iter()
                .filter_map(|r| r.code())
                .filter(|c| *c != "None")
                .collect();
            let passing = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
            !codes.is_empty() && codes.iter().all(|code| passing.contains(code))
        }
        // The same transaction is still being worked on, from an attempt whose answer was lost.
        TransactWriteItemsError::TransactionInProgressException(_) => true,
        _ => false,
    }
}

fn is_s3_conflict(code: Option<&str>) -> bool {
    matches!(code, Some("ConditionalRequestConflict" | "OperationAborted"))
}

/// An SDK error for a log line: the code and the request, never the message, which may repeat keys and values.
pub(crate) fn tell<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata,
    SdkError<E, R>: RequestId,
{
    let id = error.request_id().unwrap_or("unknown");
    match error {
        SdkError::ServiceError(service) => {
            format!("{} (request {id})", service.err().code().unwrap_or("an error without a code"))
        }
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(connector) => format!("no connection: {connector}"),
            None => "no connection".to_owned(),
        },
        SdkError::ResponseError(_) => format!("an answer that cannot be understood (request {id})"),
        _ => "a request that cannot be made".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::{CancellationReason, error::TransactionCanceledException};

    use super::*;

    fn cancelled(codes: &[&str]) -> TransactWriteItemsError {
        let reasons = codes.iter().map(|c| CancellationReason::builder().code(*c).build()).collect();
        let cancelled =
            TransactionCanceledException::builder().set_cancellation_reasons(Some(reasons)).build();
        TransactWriteItemsError::TransactionCanceledException(cancelled)
    }

    #[test]
    fn a_transaction_is_tried_again_only_while_no_condition_has_failed() {
        assert!(is_undecided(&cancelled(&["None", "TransactionConflict"])));
        assert!(is_undecided(&cancelled(&["ThrottlingError", "None"])));
        assert!(!is_undecided(&cancelled(&["TransactionConflict", "ConditionalCheckFailed"])));
        assert!(!is_undecided(&cancelled(&["ValidationError"])));
        assert!(!is_undecided(&cancelled(&["None"])));
        assert!(!is_undecided(&cancelled(&[])));
    }
}
