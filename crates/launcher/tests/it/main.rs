//! The launcher as a program, with scripts in the place of the services; and what holds of the documents and of the sources of
//! all crates, which is checked here because this crate is built first and fast.

mod all_in_one;
mod boundaries;
mod dependencies;
mod documents;
mod import_circles;
