import numpy as np
import pytest

from lfkit import LFApplier
from lfkit.labeling.loading import load_lfs


@pytest.mark.gpu
@pytest.mark.parametrize("library", ["digits", "fashion"])
def test_a_gpu_votes_as_a_cpu_does_but_for_a_few_cells(library, digits, digit_seeds):
    images, labels = digits
    lfs = load_lfs([f"lf_library.{library}"]).lfs
    seeds = {"seed_rows": digit_seeds, "seed_labels": labels[digit_seeds]}
    cpu, gpu = (
        LFApplier(lfs, device=device).apply(images, **seeds)
        for device in ("cpu", "cuda")
    )
    assert (cpu.hard != gpu.hard).mean() < 0.001
    assert np.array_equal(cpu.hard.shape, gpu.hard.shape)
