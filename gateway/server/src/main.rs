//! The binary `doorward`: parse, do, exit.

use std::process::ExitCode;

use clap::Parser as _;
use doorward_server::cli::Cli;
use doorward_server::command;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match command::dispatch(cli) {
        Ok(exit) => exit.code().into(),
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("{failure}");
            }
            failure.exit.code().into()
        }
    }
}
