//! The launcher as a program, with scripts in the place of the services; and the documents that say how to run it.

mod all_in_one;
mod documents;
