from __future__ import annotations

import sys

import pytest

from hrcam_monai.workflows.command_line import begin, config_files, end_with_reason, options, refuse_numbers, refuse_unknown
from tests.bundle.runs import command, run


def argv(*configs, **overrides):
    """What sys.argv holds in a run."""
    line = command(*configs, **overrides)
    return line[line.index("monai.bundle") :]


def test_what_configurations_know_passes():
    refuse_unknown(argv("train", "two_stage", base_lr=0.1, **{"train::trainer::max_epochs": 3, "backbone#channels": [1]}))
    refuse_unknown(argv("train", args_file="a.json", run_id="run"))
    refuse_unknown([*argv("inference"), "--dataset-dir=here", "--checkpoint", "there"])
    refuse_unknown(argv("train", tracking="mlflow", experiment_name="heads"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("epoch", "--epoch: no such option of train.json and two_stage.json; did you mean --epochs?"),
        ("trian::loss", "--trian::loss: no such option of train.json and two_stage.json; did you mean --train?"),
        (
            "xyzzy",
            "--xyzzy: no such option of train.json and two_stage.json; the keys at the top of the configuration are the options.",
        ),
    ],
)
def test_a_misspelt_one_is_named(option, message):
    with pytest.raises(ValueError, match="no such option") as error:
        refuse_unknown(argv("train", "two_stage", **{option: 1}))
    assert str(error.value) == message


@pytest.mark.parametrize("folder", ["2024", "2024_01", "1e3", "0.5"])
@pytest.mark.parametrize("option", ["dataset_dir", "output-dir", "checkpoint", "brain_masks"])
def test_a_path_that_would_become_a_number_is_told(option, folder):
    with pytest.raises(ValueError, match="number") as error:
        refuse_numbers([*argv("inference"), f"--{option}", folder])
    assert str(error.value) == f"--{option.replace('-', '_')} {folder}: is taken for a number, not for a path; write ./{folder}"


def test_numbers_and_paths_are_left_alone():
    refuse_numbers([*argv("inference"), "--dataset_dir", "./2024", "--output_dir", "2024-01", "--map_threshold", "0.5"])


def test_other_programs_are_left_alone():
    hook = sys.excepthook
    begin(["server.py", "--epoch", "3"])
    begin(["monai.bundle", "ckpt_export", "--config_file", "none.json", "--net_id", "network_def"])
    assert sys.excepthook is hook


def test_command_lines_are_read_as_fire_reads_them():
    assert options(["p", "run", "--a-b", "1", "--c=2", "--d"]) == {"a_b": "1", "c": "2", "d": ""}
    assert config_files("a.json") == ["a.json"]
    assert config_files("['a.json', 'b.json']") == ["a.json", "b.json"]
    assert config_files("") == []


def test_a_run_stops_before_it_begins_and_ends_with_one_line(tmp_path):
    done = run("inference", cwd=tmp_path, output_dr=tmp_path / "out")
    assert done.returncode == 1
    assert not (tmp_path / "out").exists()
    told = "error: --output_dr: no such option of inference.json; did you mean --output_dir?"
    assert done.stderr.strip().splitlines()[-1] == told
    assert "Traceback" not in done.stderr


def chained(outer: Exception, bottom: Exception) -> Exception:
    """As MONAI raises it: a component that fails, wrapped."""
    try:
        try:
            raise bottom
        except Exception as error:
            raise outer from error
    except Exception as error:
        return error


@pytest.mark.parametrize(
    ("bottom", "debug", "trace"), [(ValueError, False, False), (ValueError, True, True), (TypeError, False, True)]
)
def test_tracebacks_come_on_demand_and_where_the_fault_is_ours(capsys, bottom, debug, trace):
    error = chained(RuntimeError("Failed to instantiate"), bottom("a.nii: is empty"))
    end_with_reason(type(error), error, error.__traceback__, debug=debug)
    told = capsys.readouterr().err
    assert told.endswith("error: a.nii: is empty\n")
    assert ("Traceback" in told) == trace
