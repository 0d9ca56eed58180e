//! The gateway's queue: what is done leaves it, what cannot be done stays, and it ends when it is told.
#![allow(clippy::expect_used, reason = "a panic is how a test fails")]

mod emulator;
mod provider;

use std::sync::Arc;

use aws::gateway::Gateway;
use aws_sdk_sqs::types::QueueAttributeName;
use machine::NoCarrier;
use provider::Alfa;
use stages::{
    Job,
    jobs::QueueName,
    ports::{RowKey, Table},
};
use tokio::sync::oneshot;

/// Messages in the queue before `dispatch`: those that wait, and those that are hidden.
async fn depth(alfa: &Alfa) -> (u32, u32) {
    let (waiting, hidden) = (
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    );
    let request =
        alfa.clients.sqs.get_queue_attributes().queue_url(&alfa.config.queues[&QueueName::Dispatch]);
    let request = request.attribute_names(waiting.clone()).attribute_names(hidden.clone());
    let said = request.send().await.expect("the queue answers").attributes.expect("attributes");
    let number = |name| said.get(name).and_then(|text: &String| text.parse().ok()).expect("a number");
    (number(&waiting), number(&hidden))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_leaves_the_queue_and_poison_stays_for_a_human() {
    let alfa = Alfa::new().await;
    let secrets = aws_sdk_secretsmanager::Client::new(&emulator::shared());
    let carrier = Arc::new(NoCarrier::default());
    let gateway = Gateway::with(alfa.config.clone(), alfa.clients.clone(), secrets, carrier).await;
    let gateway = Arc::new(gateway.expect("a gateway"));

    // 1. Twelve jobs that owe nothing any more, one that names a row that is not there, and no job at all.
    let row = |sk: String| RowKey { table: Table::Mailboxes, pk: "mailbox#m".to_owned(), sk };
    let mut jobs: Vec<Job> = (0..12).map(|n| Job::Discard { row: row(format!("{n}")) }).collect();
    jobs.push(Job::Dispatch { dispatch: row("none".to_owned()) });
    let mut bodies: Vec<String> = jobs.iter().map(|job| job.to_json().expect("JSON")).collect();
    bodies.push("no job".to_owned());
    for body in bodies {
        let url = &alfa.config.queues[&QueueName::Dispatch];
        alfa.clients.sqs.send_message().queue_url(url).message_body(body).send().await.expect("it is taken");
    }

    // 2. It works until the queue is empty but for the two.
    let (stop, stopped) = oneshot::channel::<()>();
    let working = tokio::spawn(Arc::clone(&gateway).dispatch(async move {
        let _ = stopped.await;
    }));
    let mut seen = (0, 0);
    for _ in 0..600 {
        seen = depth(&alfa).await;
        if seen == (0, 2) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(seen, (0, 2), "the two come again when they are hidden no more");

    // 3. It ends, without waiting for more.
    stop.send(()).expect("it is still there");
    working.await.expect("no panic");
    assert_eq!(depth(&alfa).await, (0, 2));
}
