"""The root of `tocsin`: its commands, and how every failure becomes a message, an advice and an exit code.

Nothing heavy is imported here: a command's module, and with it the schema, the federation core or the server,
comes in when the command is called.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from tocsin_cli.command import Late, LazyGroup
from tocsin_cli.exits import MEANING, Exit
from tocsin_cli.failures import Failure, failure_of
from tocsin_cli.output import Output, findings_text, json_text
from tocsin_cli.session import Session

_REPORTS, _NETWORK, _NODE, _TOOL = "Reports and alerts", "The network", "A node of your own", "This tool"

COMMANDS = {
    "report": Late("tocsin_cli.commands.report:report", "File, read, change and withdraw reports.", _REPORTS),
    "alert": Late(
        "tocsin_cli.commands.alert:alert", "See alerts, and say what is done about them.", _REPORTS
    ),
    "emergency": Late(
        "tocsin_cli.commands.emergency:emergency",
        "Call all that have a report, see who answers, and stand it down.",
        _REPORTS,
    ),
    "oncall": Late("tocsin_cli.commands.oncall:oncall", "See and change who is on call.", _REPORTS),
    "watch": Late(
        "tocsin_cli.commands.watch:watch", "Watch alerts, reports, peers and duties, live.", _REPORTS
    ),
    "duty": Late(
        "tocsin_cli.commands.duty:duty",
        "See what is owed to which authority, by when and why, and decide about it.",
        _REPORTS,
    ),
    "cluster": Late(
        "tocsin_cli.commands.cluster:cluster", "See what several organisations report within days.", _REPORTS
    ),
    "import": Late("tocsin_cli.commands.imports:import_", "Bring in incidents from elsewhere.", _REPORTS),
    "convert": Late(
        "tocsin_cli.commands.convert:convert",
        "Turn a file of another form into one STIX 2.1 bundle.",
        _REPORTS,
    ),
    "peer": Late("tocsin_cli.commands.peer:peer", "Connect to other organisations' nodes.", _NETWORK),
    "circle": Late(
        "tocsin_cli.commands.circle:circle",
        "Share with a circle of organisations that its admins have named together.",
        _NETWORK,
    ),
    "proof": Late(
        "tocsin_cli.commands.proof:proof", "Verify proofs of reports; no node is needed.", _NETWORK
    ),
    "log": Late("tocsin_cli.commands.log:log", "Verify the node's log.", _NETWORK),
    "audit": Late(
        "tocsin_cli.commands.audit:audit",
        "See who did what at this node, export it, and verify that nothing was changed.",
        _NODE,
    ),
    "init": Late(
        "tocsin_cli.commands.init:init",
        "Make a node in DIR: its keys, its first statement, its settings, its first token.",
        _NODE,
    ),
    "node": Late("tocsin_cli.commands.node:node", "Run a node.", _NODE),
    "key": Late("tocsin_cli.commands.key:key", "Look after the node's keys.", _NODE),
    "token": Late("tocsin_cli.commands.token:token", "Make, list and revoke tokens.", _NODE),
    "db": Late("tocsin_cli.commands.db:db", "Look after the node's database.", _NODE),
    "matrix": Late("tocsin_cli.commands.matrix:matrix", "Connect the node to its Matrix room.", _NODE),
    "completion": Late(
        "tocsin_cli.commands.completion:completion", "Print a shell completion script.", _TOOL
    ),
}


class _ReaderLeftError(Exception):
    """Whoever read our stdout has seen enough (`| head`)."""


class Root(LazyGroup):
    """The root group: it alone turns failures into exit codes."""

    globals_shown = True

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, report a failure in words or as a problem document, and exit."""
        given = list(sys.argv[1:] if args is None else args)
        session = Session()
        inner = {
            "complete_var": complete_var,
            "windows_expand_args": windows_expand_args,
            "obj": session,
            **extra,
        }
        if not standalone_mode:
            return super().main(given, prog_name or "tocsin", standalone_mode=False, **inner)
        code: int
        try:
            result = super().main(given, prog_name or "tocsin", standalone_mode=False, **inner)
            code = result if isinstance(result, int) else Exit.DONE
            sys.stdout.flush()
        except (_ReaderLeftError, BrokenPipeError):
            code = _reader_left()
        except SystemExit:
            raise
        except BaseException as exc:  # noqa: BLE001  the last stop: everything becomes a message and a code
            session.out.as_json = session.out.as_json or "--json" in given
            with _undisturbed():
                code = tell(failure_of(exc, state=session.state), session.out)
        finally:
            session.close()
        sys.exit(code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader of our stdout that left is told apart before click takes it for a failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as exc:
            raise _ReaderLeftError from exc

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the exit codes under the root's help."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), meaning) for code, meaning in MEANING.items()])
        super().format_epilog(ctx, formatter)


def tell(failure: Failure, out: Output) -> int:
    """Write the failure on stderr and return its exit code."""
    if out.as_json:
        sys.stderr.write(json_text(failure.document(), sys.stderr) + "\n")
        return failure.exit
    if failure.usage:
        out.warn(failure.usage)
    if failure.message and not failure.usage_is_all:
        label = "" if failure.exit is Exit.INTERRUPTED else "Error: "
        out.warn(f"{label}{failure.message}" + (f" [{failure.code}]" if failure.shows_code else ""))
    if failure.findings:
        out.warn(findings_text(failure.findings))
    if failure.hint:
        out.warn(f"→ {failure.hint}")
    return failure.exit


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore Ctrl-C inside: a second one must not cut off the message that the first one asked for."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _reader_left() -> int:
    """End quietly: nothing that is still in the buffer may be written at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.DONE


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"tocsin {version('tocsin')}")
        ctx.exit()


@click.group(
    "tocsin",
    cls=Root,
    late=COMMANDS,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the release."
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Report AI incidents to other organisations and raise the alarm together.

    The first steps:

    \b
      tocsin report new          file a report, guided, in under a minute
      tocsin report list         what this node holds
      tocsin alert list --open   what still waits for somebody
      tocsin peer status         how the connections to other nodes are

    Which node: --node or --dir, else TOCSIN_URL with TOCSIN_TOKEN_FILE or TOCSIN_DIR, else
    $XDG_CONFIG_HOME/tocsin/config.toml (url, token_file, dir), else ./node.toml.
    """  # noqa: D301  click fills no lines after it
    ctx.ensure_object(Session)


def run() -> NoReturn:
    """Run `tocsin` for the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        cli.main()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said; the interpreter only tidies up
    raise AssertionError  # cli.main leaves by SystemExit
