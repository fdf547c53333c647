//! The sandbox: an OpenID provider and a sample app.

fn main() {}
