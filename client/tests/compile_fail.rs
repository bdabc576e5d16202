//! Programs that would meet a user who does not exist yet: none of them compiles, and the compiler names the missing
//! step. `TRYBUILD=overwrite cargo test -p vestibule-client --test compile_fail` writes the messages anew.

#[test]
fn a_program_that_leaves_out_a_step_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
