from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from hrcam_monai.cli import COMMANDS, app
from hrcam_monai.cli.shared import DEBUG, errors_told, fail


@pytest.mark.parametrize("error", [ValueError("no such\nfile"), OSError("no such file"), ImportError("no such file")])
def test_what_a_user_can_mend_is_one_line(error, capsys):
    with pytest.raises(typer.Exit), errors_told():
        raise error
    assert capsys.readouterr().err == "error: no such file\n"


def test_its_traceback_comes_on_demand(capsys, monkeypatch):
    monkeypatch.setenv(DEBUG, "")
    done = CliRunner().invoke(app, ["--debug", "verify", "nowhere.zip"])
    assert done.exit_code == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: nowhere.zip")
    monkeypatch.setenv(DEBUG, "")


def test_an_exit_passes_and_a_fault_of_ours_keeps_its_traceback(capsys):
    with pytest.raises(typer.Exit), errors_told():
        raise fail("told already")
    assert capsys.readouterr().err == "error: told already\n"
    with pytest.raises(KeyError), errors_told():
        raise KeyError("ours")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.__name__)
def test_every_command_says_what_its_options_are(command):
    done = CliRunner().invoke(app, [command.__name__.replace("_", "-"), "--help"])
    assert done.exit_code == 0
    assert command.__doc__.split(":")[0].split(".")[0][:40] in done.stdout.replace("\n ", "")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["verify", "nowhere.zip"], "error: nowhere.zip"),
        (["report", "nowhere"], "error: nowhere/predictions.csv: not found; run inference.json into this folder first."),
        (["infer", "nowhere", "here", "--output-dir", "out"], "error: nowhere: no such weights file"),
        (["infer", "nowhere", "here", "--output-dir", "out", "--set", "a"], "error: --set 'a': write it as key=value"),
        (["cross-validate", "--dataset-dir", "nowhere", "--output", "out"], "nowhere: no such manifest; give a JSON file"),
        (["prepare", "x", "--output", "y", "--file-column", "a"], "error: --file-column, --subject-column"),
    ],
)
def test_commands_tell_errors_alike(line, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
