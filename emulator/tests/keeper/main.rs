//! Labs in the background, from outside: what `up`, `exec`, `status`, `down` and `clean` do to processes, names and files.
//!
//! The lab itself is a stand-in, two nodes that nothing joins, but for one test on a whole lab.

mod labs;
mod leftovers;
mod playing;
mod programs;
mod scenes;
#[path = "../stage/mod.rs"]
mod stage;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

/// The functions named, as tests of their names.
macro_rules! tests {
    ($($module:ident: $($test:ident),+;)+) => {
        &[$($((stringify!($test), $module::$test as stage::Test)),+),+]
    };
}

fn main() -> ExitCode {
    stage::main(
        &[
            ("up", scenes::up),
            ("up-in-vain", scenes::up_in_vain),
            ("up-panicking", scenes::up_panicking),
            ("up-whole", scenes::up_whole),
            ("run", scenes::run),
            ("exec", scenes::exec),
            ("echo", scenes::echo),
            ("ask", scenes::ask),
            ("status", scenes::status),
            ("link-set", scenes::link_set),
            ("link-show", scenes::link_show),
            ("down", scenes::down),
            ("clean", scenes::clean),
        ],
        tests![
            labs:
                a_lab_stays_up_until_it_is_taken_down,
                a_name_is_given_once,
                a_lab_that_cannot_come_up_says_why_and_leaves_nothing,
                a_keeper_that_dies_before_it_says_anything_is_quoted,
                a_run_is_registered_and_can_be_interrupted,
                ip_netns_sees_roots_labs,
                a_whole_lab_carries_what_its_programs_send;
            programs:
                a_program_runs_inside_the_host,
                a_program_that_cannot_be_started_is_told_from_one_that_fails,
                a_program_has_the_terminal,
                ctrl_c_ends_the_program_and_not_the_lab,
                a_killed_exec_takes_its_program_along;
            leftovers:
                clean_removes_exactly_the_dead,
                the_name_of_a_dead_lab_is_free,
                a_stopped_lab_is_killed,
                an_up_killed_at_any_moment_leaves_nothing_that_clean_misses,
                a_planted_runtime_folder_is_refused;
        ],
    )
}
