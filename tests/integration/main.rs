//! One binary that runs the real command.

mod demo;
