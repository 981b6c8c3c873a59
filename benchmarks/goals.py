"""List all benchmark entries: name, description and goal."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A benchmark entry: what is measured, and the goal.

    about: description for the table
    most: largest value that meets the goal; None = no upper limit
    least: smallest value that meets the goal; None = no lower limit. Without both, the entry has no goal
    unit: "" for a ratio
    """

    name: str
    about: str
    most: float | None = None
    least: float | None = None
    unit: str = ""

    @property
    def goal(self) -> str:
        if self.most is not None:
            return f"<= {self.most:g}{self.unit and ' '}{self.unit}"
        return f">= {self.least:g}{self.unit and ' '}{self.unit}" if self.least is not None else ""

    def met(self, value: float) -> bool | None:
        if self.most is not None:
            return value <= self.most
        return value >= self.least if self.least is not None else None


def entries(cores: int) -> tuple[Entry, ...]:
    """List all entries of the benchmark, each with its goal, in the order in which they are printed.

    Args:
        cores: number of CPU cores; the goals for the speed of reading images depend on it.
    """
    steps = [
        Entry(f"step_over_bare.{model}.{method}", "our step / the bare step", most=1.05)
        for model in ("cnn_224", "small_cnn_64", "wrn_32")
        for method in ("supervised", "self_training", "fixmatch")
    ]
    shares = [
        Entry(f"augment_share.{side}{end}", "augmentation / step", most=0.03)
        for side in (32, 64, 224)
        for end in ("", ".fixmatch")
    ]
    peer = "peer_step_over_ours.wrn_32_fixmatch"
    tutorial = "tutorial_over_ours"
    return (
        *steps,
        *shares,
        Entry("score_over_forward", "labeling / a bare forward pass, small_cnn, 64 pixels", most=1.05),
        Entry("score_over_forward.wrn_32", "the same, WRN-28-2, 32 pixels", most=1.05),
        Entry(f"{peer}.equal", "published step / ours in float32, one pass over all views", least=2.2),
        Entry(f"{peer}.equal_bfloat16", "published step / ours in bfloat16, one pass over all views", least=2.2),
        Entry(f"{peer}.default", "published step / our defaults, all selected", least=3),
        Entry(f"{peer}.default_half_kept", "published step / our defaults, half selected", least=3),
        Entry(f"{peer}.default_float32", "published step / our defaults in float32, all selected", least=3),
        Entry(f"{peer}.default_float32_half_kept", "published step / our defaults in float32, half selected", least=3),
        Entry(f"{peer}.default_bfloat16", "published step / our defaults in bfloat16, all selected", least=3),
        Entry(
            f"{peer}.default_bfloat16_half_kept", "published step / our defaults in bfloat16, half selected", least=3
        ),
        Entry(f"{tutorial}.load", "reading images: tutorial / ours, 224 pixels", least=2 * cores),
        Entry(f"{tutorial}.load_64", "the same, 64 pixels", least=2 * cores),
        Entry(f"{tutorial}.second_start", "reading images: tutorial / ours from the cache, 224 pixels", least=50),
        Entry(f"{tutorial}.second_start_64", "the same, 64 pixels", least=50),
        Entry(f"{tutorial}.train", "step: tutorial / ours, default precision", least=2),
        Entry(f"{tutorial}.train_float32", "the same, ours in float32", least=2),
        Entry(f"{tutorial}.train_bfloat16", "the same, ours in bfloat16", least=2),
        Entry(f"{tutorial}.score", "labeling: tutorial / ours, default precision", least=3),
        Entry(f"{tutorial}.score_float32", "the same, ours in float32", least=3),
        Entry(f"{tutorial}.score_bfloat16", "the same, ours in bfloat16", least=3),
        Entry(f"{tutorial}.peak_memory", "peak memory: ours / tutorial", most=0.5),
        Entry("sweep.shared_over_separate", "9 x 4 runs: shared start / separate starts", most=0.7),
        Entry("sweep.two_jobs_over_one", "runs two at a time / one at a time", most=0.65),
        Entry("sweep.job_overhead_seconds", "one more run in a warm process", most=0.3, unit="s"),
        Entry("encoder.encoding_over_forward", "encoding images over forward passes of the encoder", most=1.05),
        Entry("encoder.step_over_bare_head", "FixMatch step on stored features over the bare linear head's"),
        Entry("encoder.run_over_bare_head", "a run of 600 steps in a warm process over 600 of these bare steps"),
        Entry(
            "encoder.runs_per_minute", "12 thresholds x 5 seeds and references, 600 steps each", least=90, unit="/min"
        ),
        Entry("encoder.runs_per_minute.wandb", "the same with W&B offline", least=60, unit="/min"),
        Entry(
            "compare.thousand_runs_seconds", "semisup compare of 1,000 runs, process start included", most=10, unit="s"
        ),
        Entry("startup.help_seconds", "semisup train --help", most=1, unit="s"),
        Entry("startup.cfg_job_seconds", "semisup train --cfg job", most=1, unit="s"),
        Entry("startup.completion_seconds", "completion of a word by TAB", most=1, unit="s"),
        Entry("startup.train_first_step_seconds", "a new process and a run of one step", most=5, unit="s"),
        Entry(
            "memory.per_image_bytes",
            "memory per unlabeled image, 64 pixels (12,288 bytes are pixels)",
            most=13_000,
            unit="bytes",
        ),
        Entry("memory.mapped_step_over_bare", "step with images in the cache's file / bare step", most=1.10),
        Entry("gpu.images_per_second.bfloat16", "FixMatch, WRN-28-2, bfloat16", unit="images/s"),
        Entry("gpu.images_per_second.float32", "the same in float32", unit="images/s"),
        Entry("gpu.step_over_bare.wrn_32.fixmatch", "our step / the bare step", most=1.05),
        Entry("gpu.bfloat16_over_float32", "step in bfloat16 / float32", most=1),
        Entry("gpu.host_over_resident", "images in host memory / on the device"),
        Entry("gpu.compiled_over_eager", "compile=true / false"),
        Entry("gpu.idle_share", "time in which no kernel runs", most=0.05),
        Entry("gpu.idle_share.host", "the same with the images in host memory"),
        Entry("gpu.encoded_images_per_second", "images encoded by lite0, 224 pixels", unit="images/s"),
    )
