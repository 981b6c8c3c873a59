"""The faults that are looked for, and where: what is done to the program, what must then hold, and the tests that do it.

Whoever adds a test of a fault adds a line here; docs/reliability.md is made of it. A fault without a test has, in place
of what then holds, why there is none.
"""

from dataclasses import dataclass

SECTIONS = {
    "A": ("Process death", "By signals, by memory, by loss of power; figures of the kill harness follow."),
    "B": ("Storage", "Disks that are full, read-only, slow to promise, or broken."),
    "C": ("Concurrency", "Several processes at one folder, one cache, one file."),
    "D": ("Data", "Images and folders as users have them."),
    "E": ("Numbers and pseudo-labels", "What is not finite, what is empty, what is all the same."),
    "F": ("Config", "What a user types, and what was saved of it."),
    "G": ("Strangers", "Run folders, configs and checkpoints that someone sent; secrets of whoever runs this."),
    "H": ("W&B", "By the real client, against a server that is not well."),
    "I": ("Sweeps", "Jobs that fail, die, are stopped, and are asked for again."),
    "J": ("Time and host", "Clocks that jump, process numbers that come again."),
}


@dataclass(frozen=True)
class Fault:
    """codes: section and number, as A1; tests: `file below tests::name`, () where there is none, and `then` says why."""

    codes: str
    what: str
    then: str
    tests: tuple[str, ...]

    @property
    def section(self) -> str:
        return self.codes[0]

    @property
    def key(self) -> str:
        return f"{self.codes} {self.what}"


def _rows(*rows: tuple[str, ...]) -> tuple[Fault, ...]:
    return tuple(Fault(codes, what, then, tuple(tests)) for codes, what, then, *tests in rows)


KILL, RECORD, TRAIN, STORAGE = (
    "kill/test_kill.py::",
    "test_record.py::",
    "commands/test_train.py::",
    "test_storage.py::",
)
REPRODUCE, STRANGER, NUMBERS = "commands/test_reproduce.py::", "commands/test_stranger.py::", "test_numbers.py::"
SECRETS, CACHE, DISK = "test_secrets.py::", "images/test_cache.py::", "images/test_disk.py::"
DECODE, SCAN, FOLDER = "images/test_decode.py::", "images/test_scan.py::", "dataset/test_folder.py::"
WANDB, TRACK, COMPARE = "tracking/test_wandb.py::", "tracking/test_track.py::", "commands/test_compare.py::"
SWEEP, SCHEMA, ALONE = "commands/test_sweep.py::", "test_schema.py::", "test_independence.py::"

FAULTS = _rows(
    ("A1-2", "SIGKILL at any operation or event, in the middle of any write", "the same command ends with the same bits",
     KILL + "test_a_kill_at_any_point_costs_nothing_but_time"),
    ("A1", "SIGKILL of the process that resumes", "as above", KILL + "test_nor_does_a_kill_of_the_process_that_continues"),
    ("A1", "SIGKILL of the real program, by the clock", "the same bits", TRAIN + "test_sigkill_costs_nothing_but_time"),
    ("A3", "SIGKILL of one of several builders of a cache", "the others finish; nothing partial is served",
     CACHE + "test_builders_at_once_all_finish_with_the_same_even_if_one_is_killed"),
    ("A4", "SIGKILL while the pool is labeled", "among the points of A1: labels and weights are of one state",
     KILL + "test_every_planted_defect_is_caught"),
    ("A5", "SIGKILL of a run that is shown in W&B", "`semisup track` shows its record, and what became of it",
     TRACK + "test_a_killed_run_made_without_tracking_is_shown_as_what_it_is"),
    ("A6", "SIGTERM, SIGUSR1, Ctrl-C to the real program", "saved at the next step; exit 75, 75, 130; the same bits",
     TRAIN + "test_a_signal_saves_and_the_same_command_continues_bit_for_bit"),
    ("A6-7", "SIGTERM at every sort of operation and event", "a status, exit 75 or done; then the same bits",
     KILL + "test_a_request_to_stop_is_obeyed_at_any_point"),
    ("A7", "SIGTERM inside the wait for a DataLoader", "training has none: images lie in memory, decoded once"),
    ("A8", "a crash loop", "it comes to its end, with the same bits", KILL + "test_a_crash_loop_comes_to_its_end"),
    ("A9", "loss of power after any operation", "what was saved is there", KILL + "test_a_loss_of_power_loses_nothing_that_was_saved"),
    ("A10", "memory runs out (RLIMIT_AS, MemoryError, torch on CPU and GPU)", "failed, exit 1, and the batch size to try",
     NUMBERS + "test_memory_that_runs_out_is_said_with_what_to_try", NUMBERS + "test_every_way_to_say_that_memory_is_short_is_known"),
    ("A10", "the kernel's OOM killer", "is a SIGKILL: A1; a sweep goes on: I2"),
    ("B1", "the disk is full at any write of a run", "exit 1; path, need and free bytes named; the same bits once there is room",
     KILL + "test_a_full_disk_at_any_write_is_named_and_costs_nothing_but_time"),
    ("B1", "a limit on file sizes at a checkpoint, really", "the one before is whole, nothing is left over",
     RECORD + "test_a_full_disk_keeps_the_checkpoint_before"),
    ("B2", "the disk is full at the cache", "one warning; the run goes on", CACHE + "test_a_full_disk_costs_the_cache_and_not_the_pictures"),
    ("B2", "the disk is full at W&B's files", "the record is whole, the numbers are the same",
     STORAGE + "test_a_mirror_that_cannot_be_written_changes_no_number"),
    ("B3", "an output folder that cannot be made, or not be written (as no root)", "said before anything is done, exit 2",
     RECORD + "test_a_folder_that_cannot_be_written_is_named", STORAGE + "test_a_folder_of_somebody_else_is_named_before_any_work"),
    ("B4", "a cache that may only be read", "used; one that may not be written warns",
     CACHE + "test_a_cache_that_may_only_be_read_is_used_and_one_that_may_not_be_written_warns"),
    ("B5", "EIO, ENOSPC, ESTALE, EROFS, EDQUOT, Ctrl-C in a write", "the old file is whole, nothing is left over",
     DISK + "test_a_failure_leaves_the_old_file_and_nothing_else", STORAGE + "test_a_disk_that_fails_is_named_by_its_file"),
    ("B5", "EIO when a checkpoint is read", "passed over; the one before is taken", STORAGE + "test_a_checkpoint_that_cannot_be_read_is_passed_over"),
    ("B6", "a cache truncated, flipped, of another version", "rebuilt and never served", CACHE + "test_a_damaged_pack_is_rebuilt_and_never_served",
     CACHE + "test_a_damaged_index_is_rebuilt_and_never_believed"),
    ("B6", "the cache's file cut short while its pixels are in use", "the run stops and names it; no pixel is made up",
     "images/test_stored.py::test_a_file_that_was_cut_short_is_said_and_not_made_up"),
    ("B7", "a source replaced, size and times the same", "seen", CACHE + "test_other_content_of_the_same_size_and_time_is_seen"),
    ("B8", "the data set changed since the run began", "refused, exit 2", RECORD + "test_a_run_is_not_continued_with_other_data",
     TRAIN + "test_a_finished_run_of_other_images_is_not_taken_for_this_one"),
    ("B9", "EXDEV", "cannot be: what is renamed lies beside its target", DISK + "test_syncs_the_file_before_the_rename_and_the_folder_after"),
    ("B9", "no hard links, no fsync of folders, leftovers of NFS", "the run is made all the same",
     DISK + "test_file_systems_without_fsync_of_folders_are_served", STORAGE + "test_a_poor_file_system_serves"),
    ("B10", "no flock", "none is used", STORAGE + "test_nothing_is_locked_by_flock"),
    ("B11", "names too long", "a run's folder has a short name of its own", SCHEMA + "test_the_folder_of_a_run_is_a_short_plain_name_below_the_root"),
    ("C1", "several builders of one cache", "all finish, with the same bytes", CACHE + "test_builders_at_once_all_finish_with_the_same_even_if_one_is_killed"),
    ("C2", "a run in use by another process", "refused; host, process and age named", TRAIN + "test_a_run_in_use_is_left_alone"),
    ("C2", "several processes take one folder at once", "one gets it", STORAGE + "test_of_many_that_take_a_folder_at_once_one_gets_it"),
    ("C3", "the owner is stopped, or on another host", "believed until its heart stops", RECORD + "test_an_owner_elsewhere_is_believed_until_its_heart_stops",
     RECORD + "test_the_heart_beats_whatever_its_owner_is_at_and_a_folder_that_was_taken_is_left_alone"),
    ("C4", "a reader beside the process that deletes old checkpoints", "the reader gets a whole one",
     STORAGE + "test_a_reader_beside_the_writer_gets_a_whole_checkpoint"),
    ("C5", "64 jobs that start at once on a shared file system", "builders need no lock and write the same bytes (C1); a sweep reads its data before the jobs start"),
    ("C6", "fork with threads", "decoding processes are forked from a server without threads", DECODE + "test_decoding_processes_do_not_import_torch"),
    ("C7", "a decoding process dies, hangs, or is killed by a file", "its row is left out; the run goes on",
     DECODE + "test_a_file_that_kills_or_keeps_its_process_costs_its_row_alone", DECODE + "test_processes_that_die_of_every_file_are_not_the_files_fault"),
    ("D1-10", "files that are no pictures, or strange ones", "a stated outcome for each, within a second",
     DECODE + "test_every_kind_of_no_picture_has_its_reason_within_a_second", DECODE + "test_every_kind_of_picture_keeps_its_color"),
    ("D1-10", "every kind of file a folder may hold, under every kind of name", "the outcome that docs/data.md says",
     "images/test_outcomes.py::test_every_kind_of_file_has_its_documented_outcome"),
    ("D1-15", "... in a real run, compared, shown and used to predict", "done; every name escaped in every file",
     "commands/test_hostile_folder.py::test_names_are_escaped_wherever_they_are_written"),
    ("D5", "EPS and PDF named .jpg, with programs to open them", "none is started", "commands/test_hostile_folder.py::test_no_program_is_started"),
    ("D10", "headers that announce gigabytes", "refused without memory", "images/test_outcomes.py::test_a_bomb_takes_no_memory"),
    ("D11", "fuzzed bytes", "pixels or a reason", "images/test_fuzz.py::test_mutated_images_find_nothing_and_the_figures_are_in_the_docs"),
    ("D12", "pipes, sockets, files without permission (as no root)", "left out; nothing waits",
     DECODE + "test_what_is_no_file_any_more_is_unreadable_and_holds_nothing_up", DECODE + "test_a_file_without_permission_is_unreadable",
     "images/test_outcomes.py::test_nothing_is_opened_that_is_no_picture_and_no_program_started"),
    ("D13", "links that loop, twice the same", "each file once", SCAN + "test_links_are_followed_once_and_own_names_are_preferred"),
    ("D15", "names that are not Unicode, or act on a terminal", "printed as escapes, and different", SCAN + "test_names_are_printable_and_stay_different"),
    ("D16", "an empty class, one class, too few labels", "refused by name", FOLDER + "test_an_empty_class_is_refused_by_name",
     FOLDER + "test_one_class_is_no_classification", FOLDER + "test_a_class_with_too_few_labels_is_named"),
    ("D17", "classes that differ between splits", "refused, or told; no number moves", FOLDER + "test_a_class_that_only_validation_has_is_refused",
     FOLDER + "test_a_class_that_validation_lacks_is_told_and_moves_no_number"),
    ("D17", "class names in another form of Unicode or another case", "the same class; refused with what was meant",
     FOLDER + "test_a_class_is_the_same_in_either_form_of_unicode"),
    ("D18", "the unlabeled folder is missing, or called otherwise", "refused by its key; null says that there are none",
     FOLDER + "test_a_missing_part_is_named_with_its_key", FOLDER + "test_a_named_folder_that_is_not_there_is_not_taken_for_none"),
    ("D19", "an image in training and in validation or test; under two classes", "the run stops, or warns if asked",
     "dataset/test_twins.py::test_an_image_that_is_judged_by_stops_the_run", "dataset/test_twins.py::test_one_image_under_two_classes_stops_the_run"),
    ("D20", "another order of the folder on disk", "the same", SCAN + "test_order_is_of_the_bytes_and_not_of_the_disk"),
    ("D22", "an image changed or removed while a run goes on", "cannot matter: images are decoded before the first step, and a run that is resumed is asked for the same data (B8)"),
    ("E1", "NaN or inf in a loss, a gradient, a teacher's word", "stopped at the step, exit 3; the state before is kept",
     NUMBERS + "test_what_is_not_finite_stops_the_run_at_its_step_and_is_never_saved", TRAIN + "test_divergence_is_exit_3_and_a_named_step"),
    ("E1", "NaN in an image", "cannot be: pixels are 8 bits; floats are refused when they are decoded (D7)"),
    ("E2", "no pseudo-label passes", "a loss of exactly 0, and it is said", "test_contracts.py::test_accepting_none_at_a_step_is_a_loss_of_exactly_0",
     TRAIN + "test_a_run_that_used_no_pseudo_label_says_so"),
    ("E3", "all pseudo-labels of one class", "warned of once; stopped with exit 3 if asked", TRAIN + "test_pseudo_labels_that_collapse_are_said_and_can_stop_the_run",
     "test_diagnostics.py::test_a_constant_model_is_warned_of_once_and_a_healthy_one_never"),
    ("E4-8", "settings out of range, NaN, 1e999, null", "refused at the door by key and value", NUMBERS + "test_what_cannot_be_is_said_at_the_door",
     "test_gate.py::test_what_is_wrong_is_said_by_key_value_and_what_is_allowed"),
    ("E5", "NaN in the average of the weights", "stopped", NUMBERS + "test_a_teacher_that_says_no_number_stops_the_run"),
    ("E6", "a best model that is NaN", "never saved, never best", "test_trainer.py::test_nan_stops_the_run_names_the_step_and_is_never_saved"),
    ("E7", "sets smaller than a batch, a batch of one before BatchNorm", "refused at the door", NUMBERS + "test_sets_that_are_too_small_are_said_at_the_door",
     "test_model.py::test_what_else_does_not_go_together_is_said_at_the_same_door"),
    ("E7", "models and images that no machine holds", "refused at the door, with the bytes", NUMBERS + "test_a_model_that_no_machine_holds_is_said_at_the_door",
     NUMBERS + "test_images_that_no_machine_holds_are_said_at_the_door"),
    ("E9", "true labels of unlabeled images permuted, their folders renamed", "no number moves but what is said of them",
     "test_contracts.py::test_hidden_labels_feed_diagnostics_and_nothing_else", FOLDER + "test_what_folders_below_the_unlabeled_are_called_says_nothing"),
    ("F1-4", "misspelt keys and names, wrong types, `+new=1`", "one line, exit 2, the nearest name", TRAIN + "test_a_mistake_costs_one_line_and_leaves_nothing",
     SCHEMA + "test_asked_to_show_a_config_a_misspelt_key_is_said_as_ever"),
    ("F5-6", "`name=1e3`, seeds out of range", "refused", "test_gate.py::test_what_is_wrong_is_said_by_key_value_and_what_is_allowed"),
    ("F8", "every setting of every option x random values", "a run that could be made, or one line that names the key", SCHEMA + "test_any_value_of_any_setting_is_taken_or_refused_by_name"),
    ("F9", "saved, loaded, saved", "the same bytes", SCHEMA + "test_what_is_saved_loads_and_is_saved_as_the_same_bytes"),
    ("G1-3", "a config with targets, Hydra's own part, interpolations, tags", "refused; nothing runs, nothing is read from the environment",
     STRANGER + "test_no_config_of_a_stranger_runs_or_reads_anything", REPRODUCE + "test_a_config_from_a_stranger_is_data", REPRODUCE + "test_a_text_from_a_stranger_is_refused"),
    ("G2", "a config that says where to write and whom to tell", "the caller's settings hold", REPRODUCE + "test_where_it_is_written_and_shown_is_the_callers_to_say"),
    ("G4", "bombs: aliases, brackets, digits, size, as YAML and as JSON", "refused within a second and 200 MB", STRANGER + "test_bombs_are_refused_within_a_second_and_200_mb"),
    ("G5", "a checkpoint with code in it", "refused; nothing runs", RECORD + "test_a_checkpoint_with_code_in_it_is_refused_and_nothing_runs",
     STRANGER + "test_a_model_with_code_in_it_is_not_asked_to_predict"),
    ("G6", "a checkpoint that is compressed, larger than it says, with names that lead elsewhere, damaged", "refused before torch sees it",
     STRANGER + "test_an_archive_that_we_never_write_is_refused_before_torch_sees_it"),
    ("G7", "a checkpoint of another run, other data, another model, another version", "refused, by name, exit 2; nothing is lost",
     RECORD + "test_a_state_of_another_run_or_of_other_data_is_refused", "test_trainer.py::test_a_snapshot_of_another_model_is_refused",
     RECORD + "test_a_run_is_not_continued_by_other_versions_of_what_computes"),
    ("G8", "names and links that lead out of the output root", "refused", SCHEMA + "test_the_folder_of_a_run_is_a_short_plain_name_below_the_root",
     STRANGER + "test_a_link_out_of_the_root_is_not_written_to", STRANGER + "test_a_picture_that_is_a_link_to_elsewhere_is_not_shown_to_w_and_b"),
    ("G8", "pipes and devices in place of a run's files", "are no files; nothing waits", STRANGER + "test_pipes_and_devices_are_no_files"),
    ("G9", "a secret in a setting", "refused; it is not shown", SECRETS + "test_a_setting_that_is_a_secret_is_refused"),
    ("G9", "a secret in the environment, a remote's address, the code", "in no file of a run", SECRETS + "test_a_planted_secret_is_in_no_file_of_a_run"),
    ("G10", "terminal escapes and HTML in all that a run says", "escaped", STRANGER + "test_nothing_in_a_strangers_folder_reaches_the_terminal_as_a_command",
     COMPARE + "test_nothing_a_run_says_reaches_the_terminal_as_a_command", "commands/test_report.py::test_what_runs_say_of_themselves_is_text"),
    ("G10", "JSON of any shape in place of run.json, summary.json, metrics.jsonl", "one line; never a traceback", STRANGER + "test_records_of_any_shape_end_in_one_line"),
    ("G11", "numpy files with objects", "none is read: caches are raw bytes with a digest"),
    ("G12", "Hydra plugins found by their namespace", "whatever is installed as `hydra_plugins` is imported by Hydra; `reproduce`, `compare`, `show`, `predict` and `track` never hand it a stranger's file"),
    ("G13", "without W&B", "everything else works", WANDB + "test_wandb_is_not_installed"),
    ("G13", "supply chain", "versions are pinned by constraints.txt, without hashes; nothing audits them"),
    ("H1", "no server", "one warning within the time that was given", WANDB + "test_unreachable_server", WANDB + "test_a_server_that_was_not_reached_is_not_waited_for_again"),
    ("H2", "a server that never answers, stops answering, answers 500 or 401; its service killed or hanging", "one warning; training goes on, and ends in time",
     WANDB + "test_server_that_never_answers", WANDB + "test_server_that_stops_answering", WANDB + "test_a_server_that_only_says_errors",
     WANDB + "test_service_killed", WANDB + "test_service_hangs", WANDB + "test_the_process_ends_in_time"),
    ("H3", "W&B not installed, or broken when imported", "one warning that says so", WANDB + "test_wandb_is_not_installed", WANDB + "test_wandb_that_breaks_when_it_is_imported"),
    ("H4", "two runs of a process, the first fails", "each has its own rows, and its own end", WANDB + "test_runs_of_one_process_keep_apart"),
    ("H5", "a run that was resumed", "one run in W&B, no step twice", TRACK + "test_a_resumed_run_is_one_run_without_doubled_or_missing_steps"),
    ("H6", "a metric that is not finite", "null in the record, left out in W&B", RECORD + "test_rows_are_json_whatever_the_numbers", WANDB + "test_what_is_not_finite_is_left_out"),
    ("I1", "a job fails, or is refused", "the others go on; exit 1 in the end", SWEEP + "test_the_first_failure_is_the_last_start_if_asked"),
    ("I1-2", "a run of a sweep that raises, diverges, exits with 0 or 3, or ends or is killed with its process", "one failed row; the others are done, and it alone is done again",
     SWEEP + "test_every_job_is_accounted_for_and_the_right_ones_run_again"),
    ("I6", "a worker of a parallel sweep killed", "its run and those that went with it are done again", SWEEP + "test_a_worker_that_dies_takes_no_job_with_it"),
    ("I3", "SIGTERM, Ctrl-C to a sweep, one by one or parallel", "all its runs save; exit 75, 130", SWEEP + "test_a_signal_to_the_sweep_lets_its_runs_save"),
    ("I3", "SIGTERM after the last step of a run", "it is done, and the last; exit 75", SWEEP + "test_a_signal_after_the_last_step_of_a_run_ends_the_sweep"),
    ("I3", "SIGKILL of a sweep's own process", "its run saves and stops", SWEEP + "test_when_the_sweeps_own_process_is_killed_its_run_is_asked_to_stop"),
    ("I8", "a run killed where those that share its warm-up part", "the same bits, of all", "commands/test_shared_warm_up.py::test_a_kill_where_the_ways_part_changes_nothing"),
    ("I8", "a run killed while it goes over from its own way to another one's warm-up", "the same bits", "commands/test_shared_warm_up.py::test_a_kill_while_a_run_goes_over_to_another_ones_warm_up_loses_nothing"),
    ("I8", "the run killed for whose warm-up others wait", "one takes over; the same bits", "commands/test_shared_warm_up.py::test_who_comes_second_waits_and_takes_over_from_one_that_is_killed"),
    ("I8", "a warm-up damaged, or of something else", "passed over and made anew", "commands/test_shared_warm_up.py::test_what_is_damaged_or_of_something_else_is_made_anew"),
    ("I4", "the same sweep again", "finished runs are untouched, missing ones made", TRAIN + "test_a_sweep_has_a_row_for_every_run_and_its_control_and_continues"),
    ("I5", "jobs that want the same run", "one makes it, the others wait", TRAIN + "test_jobs_that_share_a_control_wait_for_it"),
    ("I8", "other runs before it in the process; another launcher; alone or in a sweep", "the same bits",
     ALONE + "test_nor_do_the_runs_before_it_in_the_same_process", TRAIN + "test_the_joblib_launcher_gives_the_same_numbers_as_the_basic_one_and_as_a_run_alone"),
    ("I8", "a cache that is cold, warm, read-only, or none; other numbers of decoding processes", "the same bits",
     ALONE + "test_the_cache_changes_no_number_whatever_its_state", ALONE + "test_nor_does_the_number_of_decoding_processes"),
    ("I7", "`hydra.sweep.max_batch_size`", "not used: jobs write down how they end, and none raises into Hydra"),
    ("I10", "what a job costs besides its run", "no fault but a figure: `sweep.job_overhead_seconds` of `make bench`"),
    ("I11", "SLURM preempts a job of an array", "saved, queued again, and ended with the same bits; whoever else listens hears the signal",
     "commands/test_launchers.py::test_a_job_of_a_slurm_array_that_is_preempted_is_queued_again_and_ends_with_the_same_bits",
     "commands/test_launchers.py::test_a_signal_that_was_obeyed_goes_to_whoever_listened_before"),
    ("J1", "the wall clock goes backwards; times of files are scrambled", "the same checkpoint is taken, the same bits; durations are not negative",
     STORAGE + "test_clocks_and_times_of_files_decide_nothing"),
    ("J2", "a process number that comes again, a dead owner", "forgotten", RECORD + "test_a_recycled_process_number_is_not_the_owner",
     RECORD + "test_one_owner_at_a_time_and_the_dead_are_forgotten"),
    ("J3", "resumed on another processor", "said, and kept in run.json", RECORD + "test_another_processor_is_said_and_kept"),
    ("J4", "daylight saving, 2038", "times are UTC, written as text, and order nothing"),
    ("J5", "defaults that changed since a run; a run folder of version 0.1.0", "it comes back all the same", REPRODUCE + "test_a_run_comes_back_after_conf_has_changed",
     REPRODUCE + "test_a_run_of_an_earlier_version_comes_back"),
)  # fmt: skip
