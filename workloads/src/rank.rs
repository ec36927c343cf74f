//! What runs inside a rank's process.

/// The body of `longhaul __rank`: serves the control connection it inherited until told to stop. Returns the exit code.
pub fn main() -> i32 {
    unimplemented!()
}
