//! The launcher as a program, with scripts in the place of the services.

mod all_in_one;
