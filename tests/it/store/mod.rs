//! The session store in a file, with the program as it is shipped: it is killed, its disk is full or read-only, its files
//! are damaged, its keys are changed.

mod approved;
mod demo;
mod disk;
mod keys;
mod kill;
mod site;
mod start;
