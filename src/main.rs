//! Starts the program.

use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let path = std::env::args_os()
        .skip_while(|argument| argument != "--config")
        .nth(1)
        .map_or_else(|| PathBuf::from("config/stepgate.toml"), PathBuf::from);
    let ended = stepgate::server::run(&path, false, &mut std::io::stderr());
    ExitCode::from(ended as u8)
}
