//! The `sigillo` binary.

fn main() -> std::process::ExitCode {
    sigillo_server::run(std::env::args_os())
}
