import pytest
from click.testing import CliRunner

from tocsin_cli import wording
from tocsin_cli.ask import Asker
from tocsin_cli.errors import InputEnded
from tocsin_cli.output import Output


def asked(answers: str, question):
    with CliRunner().isolation(input=answers) as (out, err, _):
        result = question(Asker(Output()))
        return result, err.getvalue().decode(), out.getvalue().decode()


def test_a_needed_line_is_asked_until_it_comes():
    result, talk, data = asked("\n  \n hello \n", lambda ask: ask.text("Title?", required=True))
    assert result == "hello"
    assert talk.count("Title?") == 3
    assert data == ""


def test_a_paragraph_ends_with_an_empty_line():
    assert asked("one\ntwo\n\nthree\n", lambda ask: ask.paragraph("More?"))[0] == "one\ntwo"


def test_a_choice_takes_the_number_the_value_or_the_default():
    options = (("a", "first"), ("b", "second"))
    assert asked("2\n", lambda ask: ask.choice("Which?", options))[0] == "b"
    assert asked("b\n", lambda ask: ask.choice("Which?", options))[0] == "b"
    assert asked("\n", lambda ask: ask.choice("Which?", options, default="a"))[0] == "a"
    result, talk, _ = asked("3\nx\n0\n1\n", lambda ask: ask.choice("Which?", options))
    assert result == "a"
    assert talk.count("A number from 1 to 2.") == 3


def test_several_may_be_chosen():
    assert asked("99\n3, 1\n", lambda ask: ask.choices("Which?", wording.HARM_TYPES))[0] == [
        wording.HARM_TYPES[0][0],
        wording.HARM_TYPES[2][0],
    ]


def test_numbers_and_yes_and_no():
    assert asked("x\n-1\n12\n", lambda ask: ask.number("How many?"))[0] == 12
    assert asked("\n", lambda ask: ask.number("How many?"))[0] == 0
    assert asked("maybe\nY\n", lambda ask: ask.yes("Sure?"))[0] is True
    assert asked("\n", lambda ask: ask.yes("Sure?", default=False))[0] is False


def test_the_end_of_the_input_is_no_answer():
    for question in (lambda a: a.text("?"), lambda a: a.yes("?", default=True), lambda a: a.paragraph("?")):
        with pytest.raises(InputEnded):
            asked("", question)


def test_a_question_cannot_carry_an_escape_sequence():
    assert "\x1b" not in asked("x\n", lambda ask: ask.text("\x1b[2JWithdraw \x1b]0;t\x07it?"))[1]
