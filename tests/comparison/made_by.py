"""Prints the constants of these tests, made by libraries that are too heavy for the dev extra.

    pip install autorank rliable scikit-posthocs statsmodels
    python -m tests.comparison.made_by margins ranks
    pip install --upgrade arch      (rliable asks for an older one, which pandas 3 breaks)
    python -m tests.comparison.made_by blocks

Made with arch 8.0.0, autorank 1.3.0, rliable 1.2.0, scikit-posthocs 0.17.1, statsmodels 0.15.0.
"""

import sys

import numpy as np

from tests.comparison.test_across import SCORES
from tests.comparison.test_margins import ROPE, STATSMODELS, A, B, paired_scores
from tests.comparison.test_resampling import ARCH, noise


def margins() -> None:
    """TOST of statsmodels; verdicts of autorank's region of practical equivalence."""
    import pandas as pd
    from autorank import autorank
    from statsmodels.stats.weightstats import ttost_ind

    for margin in STATSMODELS:
        p, (_, lower, _), (_, upper, _) = ttost_ind(A, B, -margin, margin, usevar="unequal")
        print(f"statsmodels {margin}: {p:.10f}, {lower:.10f}, {upper:.10f}")
    for name in ROPE:
        frame = pd.DataFrame(dict(zip(("model", "baseline"), paired_scores(name), strict=True)))
        found = autorank(frame, approach="bayesian", rope=0.01, rope_mode="absolute",
                         random_state=0, nsamples=50_000)  # fmt: skip
        table = found.rankdf
        print(f"autorank {name}: {table['decision'].iloc[1]}, best {table.index[0]}")


def ranks() -> None:
    """Ranks, critical difference and Friedman's test; Nemenyi's pairs; rliable."""
    import pandas as pd
    import scikit_posthocs
    from autorank import autorank
    from rliable.metrics import probability_of_improvement

    found = autorank(pd.DataFrame(SCORES), force_mode="nonparametric")
    print(f"autorank: {found.rankdf['meanrank'].sort_index().tolist()}, cd {found.cd:.10f}, "
          f"p {found.pvalue:.10f}")  # fmt: skip
    print(scikit_posthocs.posthoc_nemenyi_friedman(SCORES))
    x = np.array([[0.71, 0.69, 0.70], [0.55, 0.56, 0.50]]).T
    y = np.array([[0.70, 0.70, 0.65, 0.69], [0.56, 0.49, 0.57, 0.55]]).T
    print(f"rliable: {probability_of_improvement(x, y):.6f}")


def blocks() -> None:
    """Block length of the circular bootstrap, and its variance of a mean."""
    from arch.bootstrap import CircularBlockBootstrap, optimal_block_length

    for memory, count in ARCH:
        series = noise(memory, count)[0]
        length = float(optimal_block_length(series)["circular"].iloc[0])
        drawn = CircularBlockBootstrap(20, series, seed=np.random.default_rng(0))
        variance = float(np.squeeze(drawn.var(np.mean, 20_000)))
        print(f"arch {memory}, {count}: {length:.6f}, {variance:.9f}")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        {"margins": margins, "ranks": ranks, "blocks": blocks}[name]()
