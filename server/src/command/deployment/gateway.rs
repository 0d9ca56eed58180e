//! The gateway: doors whose ports are on AWS, and the queue before `dispatch`.

use std::{sync::Arc, time::Duration};

use aws::{gateway::Gateway as Ports, secrets::Pair};
use carrier::Dns;
use machine::Argon2Passwords;
use net::Tls;
use stages::{accounts::Accounts, rates::Rates};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::sleep,
};

use crate::{
    cli::{DoorsTls, Gateway},
    command::{CommandError, chain, failed, up},
    doors::{Doors, Ground, Kind, Places, open_mail},
    http,
    operator::{Office, Token},
    rates,
    settings::Published,
    timekeeper,
};

/// How often Secrets Manager is asked for the certificate.
const SECRET_LOOK: Duration = Duration::from_secs(300);

/// Runs the gateway until SIGINT or SIGTERM.
///
/// # Errors
/// [`CommandError`] when it does not start.
pub fn gateway(args: &Gateway) -> Result<(), CommandError> {
    up::log(args.json);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(run(args))
}

async fn run(args: &Gateway) -> Result<(), CommandError> {
    // 1. The ports, and who may come in.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let carrier = Arc::new(up::way_out(&args.outgoing, &args.host)?);
    let ports = Arc::new(Ports::open(carrier).await.map_err(|error| unreachable(&error))?);
    let rim = ports.rim().clone();
    let environment = rim.environment(&args.environment).await.map_err(|error| unreachable(&error))?;
    let accounts = Accounts::open(rim.clone(), Arc::new(Argon2Passwords::default())).await;
    let accounts = Arc::new(accounts.map_err(|error| unreachable(&error))?);

    // 2. The doors.
    let tls = certificate(&args.tls, &ports).await?;
    let rates = Arc::new(Rates::new(rim.clone(), args.care.limits()));
    let ground = Ground {
        rim: rim.clone(),
        accounts: Arc::clone(&accounts),
        rates: Arc::clone(&rates),
        tls: tls.clone(),
        name: args.host.clone(),
    };
    let mut doors = Doors::new(tls.clone(), Places::known(args.listen, &args.door));
    open_mail(&mut doors, &ground, &args.scratch, args.outgoing.dns).await.map_err(failed)?;
    let office = Office {
        accounts,
        names: Arc::new(Dns::new(args.outgoing.dns).map_err(failed)?),
        hosts: vec![args.host.clone(), environment.mail_domain.clone()],
        environment: args.environment.clone(),
        backups: None,
    };
    // Operators come with their own credentials (`--aws`), not by this door: nobody is told the token.
    let token = Token::draw(ground.rim.ids.as_ref());
    // A load balancer stands before the doors.
    let kinds = doors.opened().iter().map(|(kind, _)| *kind);
    let published = Published::known(&environment.provider_name, &args.host, kinds);
    let router = http::router(ground, token, office.clone(), published, None);
    let https = doors.open(Kind::HTTPS, http::limits(), move |c| http::session(c, router.clone()));
    https.await.map_err(failed)?;
    for (kind, address) in doors.opened() {
        tracing::info!(door = kind.name, address = %address, "open");
    }
    doors.keep_certificate_fresh(hangup);

    // 3. What goes on beside them.
    let (stopper, mut stopped) = watch::channel(());
    let stop = async move {
        // Also when there is nobody any more who could say so.
        let _ = stopped.changed().await;
    };
    let dispatching = tokio::spawn(Arc::clone(&ports).dispatch(stop));
    let index = tokio::spawn({
        let ports = Arc::clone(&ports);
        async move { ports.keep_fresh().await }
    });
    let domains = tokio::spawn(office.keep_domains());
    let saving = tokio::spawn(rates::keep(Arc::clone(&rates)));
    let clock = tokio::spawn(timekeeper::watch(rim, args.care.time_server.clone()));
    let secret = args.tls.tls_secret.clone().map(|secret| {
        let ports = Arc::clone(&ports);
        tokio::spawn(async move { keep_fresh(&tls, &ports, &secret).await })
    });

    // 4. Until we are told: nothing new comes in, nothing new is taken from the queue, what is under way ends.
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    for task in [Some(index), Some(domains), Some(clock), secret].into_iter().flatten() {
        task.abort();
    }
    drop(stopper);
    let drained = async {
        let (_, dispatched) = tokio::join!(doors.drain(), dispatching);
        if dispatched.is_err() {
            tracing::error!("the way out ended in a panic");
        }
        saving.abort();
        rates::save(&rates).await;
    };
    // Told twice, it ends at once: what is under way is owed, and done by the next one.
    tokio::select! {
        () = drained => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn certificate(args: &DoorsTls, ports: &Ports) -> Result<Tls, CommandError> {
    match (&args.tls_certificate, &args.tls_key, &args.tls_secret) {
        (Some(certificate), Some(key), _) => Tls::from_files(certificate, key).map_err(failed),
        (_, _, Some(secret)) => {
            let Pair { certificate, key } =
                ports.certificate(secret).await.map_err(|error| unreachable(&error))?;
            Tls::from_pem(certificate.as_bytes(), key.as_bytes()).map_err(failed)
        }
        _ => Err(CommandError::Usage("give --tls-certificate and --tls-key, or --tls-secret".to_owned())),
    }
}

/// Takes a new certificate of the secret into use, for as long as it is polled.
async fn keep_fresh(tls: &Tls, ports: &Ports, secret: &str) {
    let mut last: Option<Pair> = None;
    loop {
        sleep(SECRET_LOOK).await;
        match ports.certificate(secret).await {
            Ok(now) if last.as_ref() == Some(&now) => {}
            Ok(now) => match tls.replace(now.certificate.as_bytes(), now.key.as_bytes()) {
                Ok(()) => last = Some(now),
                Err(error) => {
                    tracing::error!(error = %error, "the new TLS certificate cannot be used: the old one stays");
                }
            },
            Err(error) => tracing::error!(error = %chain(&error), "the TLS certificate was not looked at"),
        }
    }
}

fn unreachable(error: &dyn std::error::Error) -> CommandError {
    CommandError::Aws(chain(error))
}
