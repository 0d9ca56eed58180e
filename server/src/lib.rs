//! The `sigillo` binary as a library: the embedded provider with its HTTPS door, and the command line.

pub mod backup;
pub mod cli;
pub mod command;
pub mod demo;
pub mod doors;
pub mod folder;
pub mod http;
pub mod index;
pub mod letter;
pub mod operator;
pub mod rates;
pub mod revocation;
pub mod sealing;
pub mod settings;
pub mod text;
pub mod timekeeper;
pub mod verify;
pub mod view;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;
use cli::{Account, AppPassword, Audit, Cli, Command, Domain, Environment, Index, Keys, Mailbox};

/// Runs one command line and says how it ended: 0, or what the command's help says; 64 for a wrong usage.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; everything else is a usage error. A closed pipe is no news.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { command::USAGE } else { 0 });
        }
    };
    let ended = match cli.command {
        Command::Init(args) => command::init::run(&args),
        Command::Up(args) => command::up::run(&args),
        Command::Gateway(args) => command::gateway::run(&args),
        Command::Send(args) => command::send::run(&args),
        Command::Mailbox(Mailbox::List(args)) => command::mailbox::list(&args),
        Command::Mailbox(Mailbox::Show(args)) => command::mailbox::show(&args),
        Command::Mailbox(Mailbox::Export(args)) => command::mailbox::export(&args),
        Command::Account(Account::Add(args)) => command::account::add(&args),
        Command::Account(Account::Disable(args)) => command::account::set_active(&args, false),
        Command::Account(Account::Enable(args)) => command::account::set_active(&args, true),
        Command::Account(Account::Quota(args)) => command::account::quota(&args),
        Command::Account(Account::Password(args)) => command::account::password(&args),
        Command::Account(Account::AppPassword(AppPassword::Add(args))) => {
            command::account::add_app_password(&args)
        }
        Command::Account(Account::AppPassword(AppPassword::List(args))) => command::account::list(&args),
        Command::Account(Account::AppPassword(AppPassword::Revoke(args))) => command::account::revoke(&args),
        Command::Account(Account::Settings(args)) => command::account::settings(&args),
        Command::Account(Account::SignIns(args)) => command::account::sign_ins(&args),
        Command::Domain(Domain::Records(args)) => command::domain::records(&args),
        Command::Domain(Domain::Settings(args)) => command::domain::settings(&args),
        Command::Domain(Domain::Add(args)) => command::domain::add(&args),
        Command::Domain(Domain::Check(args)) => command::domain::check(&args),
        Command::Domain(Domain::Remove(args)) => command::domain::remove(&args),
        Command::Domain(Domain::List(args)) => command::domain::list(&args),
        Command::Domain(Domain::History(args)) => command::domain::history(&args),
        Command::Environment(Environment::Add(args)) => command::environment::add(&args),
        Command::Index(Index::Fetch(args)) => command::index::fetch(&args),
        Command::Index(Index::Publish(args)) => command::index::publish(&args),
        Command::Audit(Audit::Letter(args)) => command::audit::letter(&args),
        Command::Audit(Audit::Verify(args)) => command::audit::verify(&args),
        Command::Audit(Audit::Prove(args)) => command::audit::prove(&args),
        Command::Verify(args) => command::verify::run(&args),
        Command::Keys(Keys::Csr(args)) => command::keys::csr(&args),
        Command::Clock(args) => command::clock::run(&args),
        Command::Sla(args) => command::sla::run(&args),
        Command::Backup(args) => command::backup::take(&args),
        Command::Restore(args) => command::backup::restore(&args),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("sigillo: failed to {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
