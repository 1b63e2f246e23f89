//! Tests of the launcher as a program, with scripts in place of the services. Also checks the documents and the sources of all
//! crates, because this crate builds fast and without the others.

mod all_in_one;
mod boundaries;
mod code_blocks;
mod database_messages;
mod dependencies;
mod documents;
mod import_circles;
mod language;
