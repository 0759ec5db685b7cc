//! The program: everything is in the library, so that tests and benchmarks can link it.

fn main() -> std::process::ExitCode {
    waldo_syncd::cli::main()
}
