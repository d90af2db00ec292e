"""What every job does around its work: a log, and one readable line when the input is at fault."""

import errno
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expression_leakage.errors import InputError


@contextmanager
def logged(path: str | Path) -> Iterator[logging.Logger]:
    """Log to a file; end the job with one line, not a traceback, where the user can help.

    That is on an `InputError` and on a full disk. A scheduler's SIGTERM ends the job by an
    exception, so that what it has done so far can be put away.

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
    for client in ("httpx", "httpx2"):  # they log every address, with what is signed into it
        logging.getLogger(client).setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    log = logging.getLogger("expression_leakage")
    try:
        yield log
    except InputError as error:
        log.error("%s", error)
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno != errno.ENOSPC and "No space left" not in str(error):
            log.exception("the job failed")
            raise
        full = InputError(error.filename or "disk", "is full", "free some space and run again")
        log.error("%s", full)
        sys.exit(f"error: {full}")
    except Exception:
        log.exception("the job failed")
        raise
    log.info("done")
