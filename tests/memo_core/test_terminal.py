import pytest

from memo_core.terminal import BAD_INPUT, Parser


def parser() -> Parser:
    made = Parser(prog="tool", description="A tool.")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("train", help="train").add_argument("--preset", choices=["laptop", "paper"])
    commands.add_parser("sample", help="draw images").add_argument("--seeds")
    return made


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["trian"], "argument COMMAND: 'trian' is not known: did you mean train? (choose from train, sample)"),
        (["xyz"], "argument COMMAND: 'xyz' is not known (choose from train, sample)"),
        (["train", "--preset", "latop"],
         "argument --preset: 'latop' is not known: did you mean laptop? (choose from laptop, paper)"),
        (["train", "--prset=a", "b"], "unrecognized arguments: --prset=a b, did you mean --preset?"),
        (["train", "--seeds", "1"], "unrecognized arguments: --seeds 1"),
    ],
)  # fmt: skip
def test_what_is_misspelled_is_one_line_with_the_nearest(given, line, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(given)
    assert caught.value.code == BAD_INPUT
    (said,) = capsys.readouterr().err.splitlines()
    assert line in said


def test_a_command_line_without_a_command_lists_the_commands(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args([])
    assert caught.value.code == BAD_INPUT
    said = capsys.readouterr().err
    assert "draw images" in said
    assert "required" not in said
