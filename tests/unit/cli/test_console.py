"""How commands end: exit codes, errors in one paragraph, progress only where it is wanted."""

import pytest
import typer
from typer.testing import CliRunner

from dosegrad.cli.console import ExitCode, guarded, step, working
from dosegrad.errors import EnergyError
from dosegrad.progress import report


def run(command):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(guarded(command))
    return CliRunner().invoke(app, [])


def test_the_value_of_a_command_is_its_exit_code():
    assert run(lambda: ExitCode.GOALS_NOT_MET).exit_code == 3
    assert run(lambda: None).exit_code == 0


def test_an_error_of_ours_is_one_paragraph_without_traceback():
    def command():
        raise EnergyError("spot energy 268.0 MeV is outside machine 'x'.\nChoose another machine.")

    ended = run(command)
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        "EnergyError: spot energy 268.0 MeV is outside machine 'x'. Choose another machine.\n"
    )


def test_an_error_of_the_file_system_is_one_paragraph():
    def command():
        raise OSError(28, "No space left on device", "plan.npz")

    ended = run(command)
    assert ended.exit_code == 2
    assert ended.stderr == "error: No space left on device (plan.npz); nothing written.\n"


def test_an_interruption_says_that_nothing_was_written():
    def command():
        raise KeyboardInterrupt

    ended = run(command)
    assert ended.exit_code == 130
    assert ended.stderr == "interrupted: nothing written.\n"


def test_want_of_memory_is_told_with_a_remedy():
    def command():
        raise MemoryError

    ended = run(command)
    assert ended.exit_code == 1
    assert "coarser dose grid" in ended.stderr


def test_a_bug_keeps_its_traceback():
    def command():
        raise ZeroDivisionError

    assert isinstance(run(command).exception, ZeroDivisionError)


@pytest.mark.parametrize("silent", [True, False])
def test_progress_is_taken_and_a_pipe_sees_none_of_it(capsys, silent):
    with working(silent=silent) as bars, step(bars, "planning"):
        report("influence", 0.5, "beam 1 of 2")
        report("influence", 1.0)
        assert [task.description for task in bars.tasks] == ["planning", "influence"]
    written = capsys.readouterr()
    assert "influence" not in written.out + written.err
