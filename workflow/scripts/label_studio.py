"""Run from a shell, not by Snakemake: a Label Studio server with a run's tasks, for annotators.

Starts the server on the loopback, loads the tasks that it does not have yet, and prints where to
log in. Ctrl-C writes the labels where the next run of the workflow finds them.
"""

import argparse
import contextlib
import signal
import sys
from pathlib import Path

from expression_leakage.errors import InputError
from expression_leakage.labelling.label_studio import PROJECTS, load, read_projects, save_labels
from expression_leakage.labelling.label_studio_server import LabelStudio, running

PROGRAM = Path(__file__).resolve().parents[2] / ".venv-label-studio" / "bin" / "label-studio"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="of the run")
    parser.add_argument("--labels", type=Path, default=Path("labels"), help="where labels go")
    parser.add_argument("--port", type=int, default=8080, help="of the loopback; 0: any")
    parser.add_argument("--annotators", type=int, default=2, help="labels wanted of each task")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        serve(options)
    except InputError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped.")


def serve(options: argparse.Namespace) -> None:
    """Run the server until it is interrupted, then write the labels."""
    projects = read_projects(options.results / "annotation", options.annotators)
    say("Starting Label Studio: up to a minute the first time.")
    with running(PROGRAM, options.labels / "label-studio", options.port) as server:
        counts = load(server, projects)
        with contextlib.suppress(KeyboardInterrupt):
            introduce(server, counts)
            server.wait()
        written = save_labels(server, options.labels)
    say("")
    for path, said in written.items():
        say(f"{path}: {said} annotations and drafts")
    say("Next: make, or snakemake --cores all" if written else "Nobody has labelled anything yet.")


def introduce(server: LabelStudio, counts: dict[str, tuple[int, int, int]]) -> None:
    """Say where to label, as whom, and how others join."""
    for kind, (new, all_, foreign) in counts.items():
        kept = f"; {foreign} are of another run and stay" if foreign else ""
        page = f"{server.address}/projects/{server.project(PROJECTS[kind])}/data"
        say(f"{PROJECTS[kind].lower()}: {all_} tasks, {new} of them new{kept}: {page}")
    say(f"Log in:   {server.address}")
    say(f"  e-mail    {server.account.email}")
    say(f"  password  {server.account.password}")
    say("Further annotators, each in a browser of their own, sign up with a made-up address:")
    say(f"  {server.invitation()}")
    say("Ctrl-C writes the labels and stops the server.")


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
