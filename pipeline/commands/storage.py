"""Commands on what is stored: cross-check it, and keep it tidy."""

from __future__ import annotations

import click

from pipeline.commands.common import Session, json_flag, pass_session
from pipeline.commands.output import escaped, print_json, progress_bar, show, show_table


@click.command()
@click.option("--repair", is_flag=True, help="Mend first what log and desk still prove. Not while a `run` is up.")
@json_flag
@pass_session
@click.pass_context
def verify(context: click.Context, session: Session, repair: bool, as_json: bool) -> None:
    """Cross-check log, archive and desk.

    Exit status 1 if anything is missing, doubled, torn or not as it was written.

    \b
    Example:
      peacewatch verify && echo clean
      peacewatch verify --repair
    """
    from dataclasses import asdict

    from pipeline.verify import verify as check_all

    repaired = None
    if repair:
        from pipeline.repair import repair as mend

        repaired = mend(session.open())
    with progress_bar("verifying") as advance:
        report = check_all(session.open_behind_alerts(), advance)
    if as_json:
        checks = [asdict(check) for check in report.checks]
        print_json({"ok": report.ok, "checks": checks, "repair": None if repaired is None else asdict(repaired)})
    else:
        for what, sentences in asdict(repaired).items() if repaired else ():
            for sentence in sentences:
                show(f"{what}: {escaped(sentence)}")
        rows = [["ok" if check.ok else "FAILED", check.name, check.detail] for check in report.checks]
        show_table(["", "check", "detail"], rows, [None if check.ok else "bold red" for check in report.checks])
    context.exit(0 if report.ok else 1)


@click.command()
@json_flag
@pass_session
def compact(session: Session, as_json: bool) -> None:
    """Merge the archive's small files into large ones.

    `run` does so by itself; this is for an archive at rest.

    \b
    Example:
      peacewatch compact
    """
    from pipeline.lake.upkeep import compact as merge

    with progress_bar("merging", "groups") as advance:
        done = merge(session.open_behind_alerts().lake_path, advance)
    if as_json:
        print_json(done)
    else:
        show(f"Merged {done['merged']:,} files into {done['into']:,}, removed {done['removed']:,} leftovers.")
