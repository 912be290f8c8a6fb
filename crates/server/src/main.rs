//! The `millstream` command: reads its arguments, does what they say, and tells how it went.
//! Exit codes: 0 done, 1 failed while running, 2 wrong input.

use std::process::ExitCode;

use clap::Parser;
use millstream_server::cli::{self, Arguments};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
