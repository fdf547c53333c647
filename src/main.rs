//! Starts the program.

use std::io::{stderr, stdout};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(stepgate::cli::run(
        std::env::args_os(),
        &mut stdout(),
        &mut stderr(),
    ))
}
