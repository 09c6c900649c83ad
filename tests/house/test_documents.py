"""What the documents tell people to type exists, and what they link to is there."""

import re
import shlex

import click
import pytest
from tests.house.repository import ROOT, tracked_files

from tocsin_cli.main import cli

DOCUMENTS = [file for file in tracked_files() if file.suffix == ".md"]
IDS = [str(file.relative_to(ROOT)) for file in DOCUMENTS]
FENCE = re.compile(r"^```(?:sh|console|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(tocsin [^`]+|make [^`]+)`")
WRAPPERS = re.compile(r"^.*?(?:runuser -u tocsin -- |exec node )(?=tocsin )")
IN_CONTAINER = re.compile(r"^.*compose run --rm --no-deps node (?=init )")


def typed(text):
    """Every command of ours that a document tells people to type."""
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            bare = IN_CONTAINER.sub("tocsin ", WRAPPERS.sub("", line.strip().removeprefix("$ ")))
            for part in re.split(r"\s(?:&&|\|\|?|>|<<<?|<)\s", bare):
                if part.startswith(("tocsin ", ".venv/bin/tocsin ", "make ")):
                    yield part.removeprefix(".venv/bin/")
    yield from INLINE.findall(text)


def words_of(command):
    """The words, without a comment and without placeholders' brackets."""
    words = shlex.split(command, comments=True)
    return [word for word in words if word not in {"…", "..."}]


def check_tocsin(words):
    """Fail unless the words lead to a command and every option is one of its own or a global one."""
    context = click.Context(cli, info_name="tocsin")
    found: click.Command = cli
    rest = words[1:]
    while isinstance(found, click.Group) and rest and not rest[0].startswith("-"):
        if "|" in rest[0]:
            for name in rest[0].split("|"):
                assert found.get_command(context, name) is not None, f"no command {name}"
            return
        step = found.get_command(context, rest[0])
        assert step is not None, f"{found.name} has no command {rest[0]}"
        found, rest = step, rest[1:]
        context = click.Context(found, parent=context, info_name=found.name)
    options = {name for param in found.get_params(context) for name in (*param.opts, *param.secondary_opts)}
    for word in rest:
        if word.startswith("-") and word != "-":
            assert word.split("=")[0] in options | {"--help", "-h", "--version"}, (
                f"{found.name} has no {word}"
            )


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_the_commands_in_a_document_exist(document):
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for command in typed(document.read_text("utf-8")):
        words = words_of(command)
        if words[0] == "tocsin":
            check_tocsin(words)
        elif len(words) > 1 and "=" not in words[1]:
            assert re.search(rf"^{re.escape(words[1])}:", makefile, re.MULTILINE), command


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_the_links_of_a_document_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text("utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (document.parent / target).exists(), target


def headings(document):
    """The names under which a page shows its headings to links."""
    found = re.findall(r"^#+ (.*)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_a_link_to_a_part_of_a_document_finds_it(document):
    for target, part in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", document.read_text("utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert part in headings(document.parent / target if target else document), f"{target}#{part}"


def test_the_first_page_names_every_group_of_commands():
    page = (ROOT / "README.md").read_text("utf-8")
    for name in cli.list_commands(click.Context(cli)):
        assert f"tocsin {name}" in page, name


def test_make_help_lists_every_verb():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    for verb in phony:
        assert re.search(rf"^{verb}:.*## ", makefile, re.MULTILINE), verb
