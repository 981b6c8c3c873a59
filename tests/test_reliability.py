"""The faults that are looked for, and where: each named test is there."""

import ast
from functools import cache
from pathlib import Path

from tests.reliability import report

TESTS = Path(__file__).parent

FAULTS = (
    # what happens | what must then hold | file of the test | its name
    ("SIGKILL at any operation or event", "the same command ends with the same bits", "kill/test_kill.py",
     "test_a_kill_at_any_point_costs_nothing_but_time"),
    ("SIGKILL of the process that resumes", "as above", "kill/test_kill.py",
     "test_nor_does_a_kill_of_the_process_that_continues"),
    ("a crash loop", "it comes to its end, with the same bits", "kill/test_kill.py",
     "test_a_crash_loop_comes_to_its_end"),
    ("loss of power", "what was saved is there", "kill/test_kill.py",
     "test_a_loss_of_power_loses_nothing_that_was_saved"),
    ("SIGTERM, SIGUSR1, Ctrl-C", "saved at the next step; exit 75, 75, 130", "commands/test_train.py",
     "test_a_signal_saves_and_the_same_command_continues_bit_for_bit"),
    ("SIGKILL of the real program, by the clock", "the same bits", "commands/test_train.py",
     "test_sigkill_costs_nothing_but_time"),
    ("a run of a sweep that raises, diverges, exits with 0 or 3, or ends or is killed with its process",
     "one failed row; the others are done, and it alone is done again", "commands/test_sweep.py",
     "test_every_job_is_accounted_for_and_the_right_ones_run_again"),
    ("a worker of a parallel sweep killed", "its run and those that went with it are done again",
     "commands/test_sweep.py", "test_a_worker_that_dies_takes_no_job_with_it"),
    ("SIGTERM, Ctrl-C to a sweep, one by one or parallel", "all its runs save; exit 75, 130", "commands/test_sweep.py",
     "test_a_signal_to_the_sweep_lets_its_runs_save"),
    ("SIGKILL of a sweep's own process", "its run saves and stops", "commands/test_sweep.py",
     "test_when_the_sweeps_own_process_is_killed_its_run_is_asked_to_stop"),
    ("a run killed where those that share its warm-up part", "the same bits, of all", "commands/test_shared_warm_up.py",
     "test_a_kill_where_the_ways_part_changes_nothing"),
    ("the run killed for whose warm-up others wait", "one takes over; the same bits", "commands/test_shared_warm_up.py",
     "test_who_comes_second_waits_and_takes_over_from_one_that_is_killed"),
    ("a warm-up damaged, or of something else", "passed over and made anew", "commands/test_shared_warm_up.py",
     "test_what_is_damaged_or_of_something_else_is_made_anew"),
    ("a checkpoint truncated or a bit of it flipped", "passed over; with none left an error, no silent restart",
     "kill/test_kill.py", "test_a_damaged_state_is_passed_over_and_never_begun_again_in_silence"),
    ("a checkpoint with code in it", "refused; nothing runs", "test_record.py",
     "test_a_checkpoint_with_code_in_it_is_refused_and_nothing_runs"),
    ("a checkpoint of another run, or of other data", "refused, by name", "test_record.py",
     "test_a_state_of_another_run_or_of_other_data_is_refused"),
    ("a checkpoint of another model", "refused", "test_trainer.py", "test_a_snapshot_of_another_model_is_refused"),
    ("resumed by other versions of torch, numpy, ...", "refused, by name and version", "test_record.py",
     "test_a_run_is_not_continued_by_other_versions_of_what_computes"),
    ("resumed on another processor", "said, and kept in run.json", "test_record.py",
     "test_another_processor_is_said_and_kept"),
    ("resumed with a changed data set", "refused", "test_record.py", "test_a_run_is_not_continued_with_other_data"),
    ("a log shorter than its checkpoint says", "refused; it is not filled up", "test_record.py",
     "test_a_log_shorter_than_its_checkpoint_is_an_error_and_is_not_filled_up"),
    ("a run in use by another process", "refused; host, process and age named", "commands/test_train.py",
     "test_a_run_in_use_is_left_alone"),
    ("an owner that died, and its process number used again", "forgotten", "test_record.py",
     "test_a_recycled_process_number_is_not_the_owner"),
    ("a full disk at a checkpoint", "the one before is whole, nothing is left over", "test_record.py",
     "test_a_full_disk_keeps_the_checkpoint_before"),
    ("EIO, ENOSPC, Ctrl-C in a write", "the old file is whole, nothing is left over", "images/test_disk.py",
     "test_a_failure_leaves_the_old_file_and_nothing_else"),
    ("an image that kills its decoder, holds it up or takes all memory", "quarantined; the run goes on",
     "images/test_decode.py", "test_a_file_that_kills_or_keeps_its_process_costs_its_row_alone"),
    ("decoding processes that die of every file", "said, as a lack of memory", "images/test_decode.py",
     "test_processes_that_die_of_every_file_are_not_the_files_fault"),
    ("every kind of file a folder may hold, under every kind of name", "the outcome that docs/data.md says",
     "images/test_outcomes.py", "test_every_kind_of_file_has_its_documented_outcome"),
    ("... in a real run, compared, shown and used to predict", "done; every name escaped in every file",
     "commands/test_hostile_folder.py", "test_names_are_escaped_wherever_they_are_written"),
    ("EPS and PDF named .jpg, with programs to open them", "none is started", "commands/test_hostile_folder.py",
     "test_no_program_is_started"),
    ("headers that announce gigabytes", "refused without memory", "images/test_outcomes.py",
     "test_a_bomb_takes_no_memory"),
    ("FIFO, socket, device, locked file", "not opened; unreadable", "images/test_outcomes.py",
     "test_nothing_is_opened_that_is_no_picture_and_no_program_started"),
    ("an image in training and in validation or test", "the run stops, or warns if asked", "dataset/test_twins.py",
     "test_an_image_that_is_judged_by_stops_the_run"),
    ("an image under two classes", "the run stops, or warns if asked", "dataset/test_twins.py",
     "test_one_image_under_two_classes_stops_the_run"),
    ("a class of validation that training has not", "refused, by name", "dataset/test_folder.py",
     "test_a_class_that_only_validation_has_is_refused"),
    ("class names in another form of Unicode or another case", "the same class; refused with what was meant",
     "dataset/test_folder.py", "test_a_class_is_the_same_in_either_form_of_unicode"),
    ("a cache truncated, a bit of it flipped, under another name", "made anew, never served", "images/test_cache.py",
     "test_a_damaged_pack_is_rebuilt_and_never_served"),
    ("an image replaced: same name, size and time", "seen", "images/test_cache.py",
     "test_other_content_of_the_same_size_and_time_is_seen"),
    ("four builders of one cache, one killed", "the same cache", "images/test_cache.py",
     "test_builders_at_once_all_finish_with_the_same_even_if_one_is_killed"),
    ("a full disk, or a read-only one, under the cache", "one warning; the run goes on", "images/test_cache.py",
     "test_a_full_disk_costs_the_cache_and_not_the_pictures"),
    ("a run folder that cannot be written", "said before anything is done", "test_record.py",
     "test_a_folder_that_cannot_be_written_is_named"),
    ("a config from a stranger: targets, paths, interpolations", "refused; nothing runs", "commands/test_reproduce.py",
     "test_a_config_from_a_stranger_is_data"),
    ("... tags, anchors, the name of a key in it", "refused; the key is not shown", "commands/test_reproduce.py",
     "test_a_text_from_a_stranger_is_refused"),
    ("... that says where to write and whom to tell", "the caller's settings hold", "commands/test_reproduce.py",
     "test_where_it_is_written_and_shown_is_the_callers_to_say"),
    ("a bomb of aliases", "refused", "test_record.py", "test_configs_are_data"),
    ("defaults that changed since a run", "it comes back all the same", "commands/test_reproduce.py",
     "test_a_run_comes_back_after_conf_has_changed"),
    ("a run folder of version 0.1.0", "read, and reproduced bit for bit", "commands/test_reproduce.py",
     "test_a_run_of_an_earlier_version_comes_back"),
    ("a secret in a setting", "refused; it is not shown", "test_secrets.py",
     "test_a_setting_that_is_a_secret_is_refused"),
    ("a secret in the environment, a remote's address, the code", "in no file of a run", "test_secrets.py",
     "test_a_planted_secret_is_in_no_file_of_a_run"),
    ("a cache that is cold, warm, read-only, or none", "the same bits", "test_independence.py",
     "test_the_cache_changes_no_number_whatever_its_state"),
    ("other numbers of decoding processes", "the same bits", "test_independence.py",
     "test_nor_does_the_number_of_decoding_processes"),
    ("other runs before it in the process", "the same bits", "test_independence.py",
     "test_nor_do_the_runs_before_it_in_the_same_process"),
    ("another launcher; alone or in a sweep", "the same bits", "commands/test_train.py",
     "test_the_joblib_launcher_gives_the_same_numbers_as_the_basic_one_and_as_a_run_alone"),
    ("a mirror that died with its run", "`semisup track` shows the record, and what became of it",
     "tracking/test_track.py", "test_a_killed_run_made_without_tracking_is_shown_as_what_it_is"),
    ("a run that was resumed, in W&B", "one run, no step twice", "tracking/test_track.py",
     "test_a_resumed_run_is_one_run_without_doubled_or_missing_steps"),
    ("W&B's server silent, gone, or its service killed", "one warning; training goes on", "tracking/test_wandb.py",
     "test_server_that_stops_answering"),
)  # fmt: skip


@cache
def names_in(name: str) -> set[str]:
    tree = ast.parse((TESTS / name).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_fault_has_its_test() -> None:
    missing = [f"{name}::{test}" for _, _, name, test in FAULTS if test not in names_in(name)]
    assert missing == []
    rows = [[what, then, f"`{name.removesuffix('.py')}` {test}"] for what, then, name, test in FAULTS]
    report(
        "faults", "Faults", "What is done to the program, and the test that does it.", ["what", "then", "test"], rows
    )
