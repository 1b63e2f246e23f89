//! Starts the programs of the system, keeps them running and stops them in order, on one machine and in the all-in-one
//! container; also runs the tests. It uses only the programs, settings and `health` command of the services.
//!
//! [`Process`](process::Process) is one child; [`Supervisor`](supervisor::Supervisor) keeps several running, with plans from
//! [`local_plan`] and [`all_in_one`]. Tests of the whole system start their processes the same way.

pub mod all_in_one;
pub mod console;
pub mod environment;
pub mod follow;
pub mod local_plan;
pub mod process;
pub mod restarts;
pub mod run_record;
pub mod runserver;
pub mod servers;
pub mod supervisor;
pub mod tally;
pub mod test_run;
