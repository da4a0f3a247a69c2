//! The door: parse, dispatch, print the error, exit.

fn main() {}
