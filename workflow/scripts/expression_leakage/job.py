"""What every job does around its work: a log, and one readable line when the input is at fault."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expression_leakage.errors import InputError


@contextmanager
def logged(path: str | Path) -> Iterator[logging.Logger]:
    """Log to a file; end the job with one line, not a traceback, on an `InputError`.

    Parameters
    ----------
    path
        The log file, begun afresh.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=path,
        filemode="w",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        force=True,
    )
    logging.captureWarnings(True)
    log = logging.getLogger("expression_leakage")
    try:
        yield log
    except InputError as error:
        log.error("%s", error)
        sys.exit(f"error: {error}")
    except Exception:
        log.exception("the job failed")
        raise
    log.info("done")
