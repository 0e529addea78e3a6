"""`python -m analysis watch PATH...`."""

import argparse
import threading

from analysis.commands.reading import add_folders
from analysis.results.store import open_store
from memo_core.errors import MemosweepError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `watch`."""
    add_folders(parser)
    parser.add_argument("--port", type=int, metavar="N", help="of this machine; default: 8266, or a free one")
    parser.add_argument("--every", type=float, default=30.0, metavar="SECONDS",
                        help="at least, between two pages (default: 30); a tenth of one processor at most")  # fmt: skip
    parser.add_argument("--no-figures", action="store_true", help="leave out figures and importances")
    parser.add_argument("--title", default="", help="its heading; default: from the experiments")


def run(arguments: argparse.Namespace) -> int:
    """Serve the report until Ctrl-C."""
    if arguments.port is not None and not 0 <= arguments.port < 2**16:
        raise MemosweepError(f"--port {arguments.port}: expected from 0 to {2**16 - 1:,}")
    if not 1 <= arguments.every <= 86_400:
        raise MemosweepError(f"--every {arguments.every:g}: expected from 1 to 86,400 seconds")
    for path in arguments.paths:
        open_store(path)
    from analysis.report.live import HOST, LiveReport, build_in_background, serve  # noqa: PLC0415 (seconds to import)

    report = LiveReport(arguments.paths, arguments.title, not arguments.no_figures, arguments.every)
    ended = threading.Event()
    with serve(report, arguments.port) as server:
        print(f"http://{HOST}:{server.server_address[1]}/ (Ctrl-C ends)", flush=True)
        build_in_background(report, ended)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
        finally:
            ended.set()
    return 0
