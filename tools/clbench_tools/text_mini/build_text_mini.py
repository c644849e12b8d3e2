"""Builds text-mini, with the arguments `--out DATA --cache DIR --held-out FILE`.

The command is `PYTHONPATH=tools python -m clbench_tools.text_mini.build_text_mini`. It also writes `corpus.parquet`,
`pairs.parquet` and `labels.txt` into the cache, for the pre-training of the mini language models.
"""

import numpy as np

from clbench_tools.text_mini.text_corpus import build_corpus
from clbench_tools.text_mini.text_tasks import SIZES, TASKS, all_candidates
from clbench_tools.text_rows.building import SEED, build_options, write_corpus, write_parts
from clbench_tools.text_rows.rows import choose


def main() -> None:
    """Fetch, choose and write the rows; what is left is the corpus."""
    options = build_options(str(__doc__))
    rng = np.random.default_rng(SEED)
    chosen = choose(TASKS, all_candidates(options.cache, rng), SIZES, rng)
    write_parts(TASKS, chosen, options.out)
    write_corpus(build_corpus(options.cache, chosen, rng), TASKS, options)


if __name__ == "__main__":
    main()
