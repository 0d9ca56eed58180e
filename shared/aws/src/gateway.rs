//! The gateway's side of AWS: the ports that its doors stand on, and the queue before `dispatch`, which it works itself,
//! for functions get no connection to port 25 of others.

use std::{sync::Arc, time::Duration};

use aws_sdk_sqs::types::Message;
use stages::{
    Rim,
    jobs::{Hint, QueueName},
    ports::Carrier,
};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

use crate::{
    Clients, Config,
    config::ConfigError,
    function::{Function, Name, Parts, StartError},
    secrets::{self, Pair, SecretError},
    shell::{
        self,
        batch::{self, Record, Rule},
    },
};

/// Jobs that are worked at the same time; the carrier has its own bound for each destination.
const PLACES: usize = 64;
/// Messages of one call: SQS gives no more.
const MESSAGES_MAX: usize = 10;
/// How long a call waits for messages.
const WAIT_S: i32 = 10;
/// How long a message is hidden from others each time that it is said.
const HIDDEN: Duration = Duration::from_secs(360);
/// How often it is said, while its job is worked.
const SAID_EVERY: Duration = Duration::from_secs(120);
/// A job of the longest letter to the slowest system; the carrier gives up before.
const LONGEST: Duration = Duration::from_secs(3600);
/// A pause after a call that failed.
const PAUSE: Duration = Duration::from_secs(2);
/// How often it is looked whether there is a new provider index.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The gateway's side of AWS.
pub struct Gateway {
    function: Function,
    sqs: aws_sdk_sqs::Client,
    secrets: aws_sdk_secretsmanager::Client,
    queue: String,
}

impl Gateway {
    /// With the environment of a function (see [`crate::config`]), and a way out.
    ///
    /// # Errors
    /// [`StartError`]
    pub async fn open(carrier: Arc<dyn Carrier>) -> Result<Self, StartError> {
        let shared = Clients::environment(None).await;
        let secrets = aws_sdk_secretsmanager::Client::new(&shared);
        Self::with(Config::from_env()?, Clients::new(&shared), secrets, carrier).await
    }

    /// With these.
    ///
    /// # Errors
    /// [`StartError`]
    pub async fn with(
        config: Config,
        clients: Clients,
        secrets: aws_sdk_secretsmanager::Client,
        carrier: Arc<dyn Carrier>,
    ) -> Result<Self, StartError> {
        let queue = config.queues.get(&QueueName::Dispatch).cloned();
        let queue = queue.ok_or_else(|| ConfigError::Missing("SIGILLO_QUEUE_DISPATCH_URL".to_owned()))?;
        let sqs = clients.sqs.clone();
        let parts = Parts { carrier, ..Parts::default() };
        // The ports of `dispatch`: index, anchors and certificates are read, and nothing is signed.
        let function = Function::open(Name::Dispatch, config, clients, parts).await?;
        Ok(Self { function, sqs, secrets, queue })
    }

    /// All ports together.
    #[must_use]
    pub fn rim(&self) -> &Rim {
        self.function.rim()
    }

    /// The certificate of the doors as Secrets Manager has it now.
    ///
    /// # Errors
    /// [`SecretError`], without a word of what is in it.
    pub async fn certificate(&self, secret: &str) -> Result<Pair, SecretError> {
        secrets::pair(&self.secrets, secret).await
    }

    /// Takes a new provider index into use within a minute, for as long as it is polled.
    pub async fn keep_fresh(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            self.function.look_around().await;
        }
    }

    /// Works the queue before `dispatch` until `stop` ends; then what is under way ends too. A job that is cut off
    /// comes again: its debt is in the table.
    pub async fn dispatch(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let places = Arc::new(Semaphore::new(PLACES));
        let mut under_way = JoinSet::new();
        tokio::pin!(stop);
        loop {
            // 1. At least one free place; what ended is forgotten.
            while under_way.try_join_next().is_some() {}
            let place = tokio::select! {
                () = &mut stop => break,
                place = Arc::clone(&places).acquire_owned() => place,
            };
            let Ok(place) = place else { break };
            let free = (places.available_permits() + 1).min(MESSAGES_MAX);
            drop(place);

            // 2. As many messages. A call that waits is not cut off: what it takes would stay hidden.
            let receive = self.receive(free);
            tokio::pin!(receive);
            let (messages, stopping) = tokio::select! {
                messages = &mut receive => (messages, false),
                () = &mut stop => (receive.await, true),
            };
            if stopping {
                for message in messages {
                    self.hide(&message, Duration::ZERO).await;
                }
                break;
            }

            // 3. Each in a task of its own.
            for message in messages {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
                let gateway = Arc::clone(&self);
                under_way.spawn(async move {
                    gateway.work(message).await;
                    drop(place);
                });
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    async fn receive(&self, most: usize) -> Vec<Message> {
        let request = self
            .sqs
            .receive_message()
            .queue_url(&self.queue)
            .max_number_of_messages(i32::try_from(most).unwrap_or(1))
            .wait_time_seconds(WAIT_S)
            .visibility_timeout(seconds(HIDDEN));
        match request.send().await {
            Ok(answer) => answer.messages.unwrap_or_default(),
            Err(error) => {
                let error = error.into_service_error();
                tracing::error!(error = %error, "the queue before dispatch does not answer");
                sleep(PAUSE).await;
                Vec::new()
            }
        }
    }

    /// A message is deleted when its job is done; else it comes again when it is no longer hidden, and ends with the
    /// dead letters.
    async fn work(&self, message: Message) {
        let record = Record {
            id: message.message_id.clone().unwrap_or_default(),
            group: None,
            body: message.body.clone().unwrap_or_default(),
        };
        let rule = Rule { concurrency: 1, until: Instant::now() + LONGEST };
        let work = batch::work(vec![record], rule, Hint::from_json, |hints| shell::run(self.rim(), hints));
        tokio::pin!(work);
        let mut says = interval_at(Instant::now() + SAID_EVERY, SAID_EVERY);
        says.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let failed = loop {
            tokio::select! {
                failed = &mut work => break failed,
                _ = says.tick() => self.hide(&message, HIDDEN).await,
            }
        };
        if !failed.is_empty() {
            return;
        }
        // A message that stays only comes again: its job finds nothing owed.
        let delete =
            self.sqs.delete_message().queue_url(&self.queue).set_receipt_handle(message.receipt_handle);
        if let Err(error) = delete.send().await {
            tracing::warn!(error = %error.into_service_error(), "a message of a job that is done stays in the queue");
        }
    }

    async fn hide(&self, message: &Message, time: Duration) {
        let request = self
            .sqs
            .change_message_visibility()
            .queue_url(&self.queue)
            .set_receipt_handle(message.receipt_handle.clone())
            .visibility_timeout(seconds(time));
        if let Err(error) = request.send().await {
            tracing::warn!(error = %error.into_service_error(), "a message may come to somebody else while it is worked");
        }
    }
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}
