"""Mutants whose command line misleads a script, or its user."""

from __future__ import annotations

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts


def _fault(module: str, function: str, rule: str, summary: str) -> None:
    """Register a reference with a fault of a module; the mutant has its name."""
    register(
        function.replace("_", "-"),
        rule,
        summary=summary,
        build=lambda: ReferenceParts(command_faults=(f"conformance.mutants.{module}:{function}",)),
    )


_fault("cli_faults", "log_lines_on_stdout", "CLI-001", "A line of a log precedes the JSON on standard output.")
_fault("cli_faults", "json_on_one_line", "CLI-001", "The JSON of a result is one line.")
_fault("cli_faults", "no_warnings_are_listed", "CLI-001", "A result without warnings has an empty list of them.")
_fault("cli_faults", "people_read_stdout", "CLI-001", "Words for people go to standard output.")
_fault("cli_faults", "guests_print_between", "CLI-001", "What components print gets between the lines of the JSON.")
_fault("cli_faults", "failures_have_no_json", "CLI-002", "A failure is told in words, also with --format json.")
_fault("cli_faults", "failures_lack_their_own_fields", "CLI-002", "A failure lacks the fields of its category.")
_fault("cli_faults", "everything_is_a_runtime_failure", "CLI-002", "Every failure is of the category runtime.")
_fault("cli_faults", "exit_code_in_json_is_one", "CLI-002", "The JSON of a failure says 1, whatever the exit code is.")
_fault("cli_faults", "failed_runs_succeed", "CLI-003", "A run that failed ends with 0.")
_fault("cli_faults", "usage_is_a_failure", "CLI-003", "A broken configuration ends with 1.")
_fault("cli_faults", "json_failures_succeed", "CLI-003", "A failure that is told as JSON ends with 0.")
_fault("cli_faults", "files_are_failures", "CLI-003", "An input file that is not there ends with 1.")
_fault("cli_faults", "interrupted_runs_succeed", "CLI-004", "A run that SIGINT ended ends with 0.")
_fault("cli_faults", "conflicts_are_failures", "CLI-004", "A publish conflict ends with 1.")
_fault("cli_faults", "regressions_are_failures", "CLI-004", "A regression ends with 1.")
_fault("cli_faults", "bare_numbers_are_seconds", "CLI-005", "A duration without a unit is seconds.")
_fault("cli_faults", "infinity_is_a_duration", "CLI-005", "Infinity and NaN are durations.")
_fault("cli_faults", "negative_is_positive", "CLI-005", "The sign of a duration is left out.")
_fault("cli_faults", "decimals_are_refused", "CLI-005", "A duration with decimals is refused.")
_fault("cli_faults", "huge_is_a_duration", "CLI-005", "A number that no float can hold is a duration.")
_fault("cli_faults", "digits_may_come_first", "CLI-006", "A project's name may begin with a digit.")
_fault("cli_faults", "names_may_have_65_characters", "CLI-006", "A project's name may have 65 characters.")
_fault("cli_faults", "names_may_be_paths", "CLI-006", "A project's name may have a slash.")
_fault("cli_faults", "names_may_end_in_a_newline", "CLI-006", "A project's name may end with a line end.")
_fault("cli_faults", "full_folders_are_overwritten", "CLI-006", "A directory is refused only when it has a manifest.")
_fault("cli_tool_faults", "check_stops_at_the_configuration", "CLI-007", "check reads no WIT when the configuration has a mistake.")
_fault("cli_tool_faults", "check_reads_no_wit", "CLI-007", "check does not look into the project's WIT.")
_fault("cli_tool_faults", "missing_wit_is_fine", "CLI-007", "A project without WIT is no warning.")
_fault("cli_tool_faults", "strict_says_nothing", "CLI-007", "--strict fails without listing the warnings.")
_fault("cli_tool_faults", "strict_means_nothing", "CLI-007", "--strict lets warnings pass.")
_fault("cli_tool_faults", "unknown_flows_are_the_first", "CLI-008", "A flow that there is not is taken for the first one.")
_fault("cli_tool_faults", "link_knows_only_the_first_flow", "CLI-008", "link looks at the first flow only.")
_fault("cli_tool_faults", "no_flow_is_no_problem", "CLI-009", "link succeeds without a flow.")
_fault("cli_tool_faults", "no_flow_is_a_link_error", "CLI-009", "A manifest without flows ends with 1.")
_fault("cli_tool_faults", "limits_are_off_by_one", "CLI-010", "--limit lets one element more in.")
_fault("cli_tool_faults", "input_is_ignored", "CLI-010", "--input changes nothing.")
_fault("cli_tool_faults", "output_is_ignored", "CLI-010", "Nothing is written into the file of --output.")
_fault("cli_tool_faults", "overrides_are_ignored", "CLI-010", "--config changes nothing.")
_fault("cli_tool_faults", "levels_are_ignored", "CLI-010", "--log-level changes nothing.")
_fault("cli_tool_faults", "digests_are_made_up", "CLI-011", "publish reports a placeholder for a digest.")
_fault("cli_tool_faults", "publish_copies_nothing", "CLI-011", "publish reports the artifact's digest and copies nothing.")
_fault("cli_tool_faults", "nobody_answers_is_success", "CLI-011", "Publishing to a registry that does not answer succeeds.")
_fault("cli_tool_faults", "doctor_is_always_content", "CLI-012", "doctor ends with 0, whatever it found.")
_fault("cli_tool_faults", "doctor_forgets_the_target", "CLI-012", "doctor takes the target for installed.")
_fault("cli_tool_faults", "doctor_reads_no_manifest", "CLI-012", "doctor does not look into Torvyn.toml.")
_fault("cli_tool_faults", "corrupt_is_version_one", "CLI-013", "inspect shows invented data for what it cannot read.")
_fault("cli_tool_faults", "headers_are_enough", "CLI-013", "inspect believes whatever begins like a component.")
_fault("cli_tool_faults", "missing_targets_are_empty", "CLI-013", "inspect succeeds for a target that is not there.")
_fault("cli_tool_faults", "regressions_pass", "CLI-014", "bench compares and does not fail.")
_fault("cli_tool_faults", "anything_is_a_regression", "CLI-014", "bench fails beside any baseline.")
_fault("cli_tool_faults", "reports_are_always_pretty", "CLI-014", "Every report is written in one format.")
_fault("cli_tool_faults", "baselines_have_the_time_as_name", "CLI-014", "--baseline does not name the saved file.")
_fault("cli_tool_faults", "symbols_in_every_pipe", "CLI-015", "✓ and ✗ are written where there are no colours.")
_fault("cli_tool_faults", "colours_in_every_pipe", "CLI-015", "Escape codes are written into pipes.")
_fault("cli_tool_faults", "sizes_in_thousands", "CLI-015", "Sizes are divided by 1000.")
_fault("cli_tool_faults", "sizes_without_decimals", "CLI-015", "Sizes have no decimal.")
