"""The case studies of MITRE ATLAS (https://atlas.mitre.org, Apache-2.0), out of ATLAS.yaml, as reports.

A case study is an attack on an AI system: of the type `incident` it is a harm event, of the type `exercise`
a hazard that researchers have shown. Its procedure becomes `uses` relationships to techniques, one a step.

The source does not date its case studies. `created` is the day of the incident; `modified` is the day of
the newest change that the file names, so that a later release gives later versions. The published
identifiers of the techniques stand in stix-atlas.json alone: where it is given, its objects are taken, and
the report is one millisecond later than the one made without it, so that it wins at every node.

An actor who may be a private person is withheld, from the parties and from the texts.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, BinaryIO, Final

from tocsin_schema import times
from tocsin_schema.compose import PARTY_EPOCH, relate
from tocsin_schema.errors import ImportUnreadable
from tocsin_schema.finding import show
from tocsin_schema.imports import party
from tocsin_schema.imports.atlas_techniques import Technique, Techniques, described, newest, published
from tocsin_schema.imports.foreign import at, day_at, list_at, text_at
from tocsin_schema.imports.parties import Parties
from tocsin_schema.imports.record import Record
from tocsin_schema.imports.references import references
from tocsin_schema.imports.safe_yaml import Read, read_yaml
from tocsin_schema.imports.source import Object, Source, refused
from tocsin_schema.imports.tidy import tidy_text, title_and_description

SOURCE: Final = Source(key="atlas", name="MITRE ATLAS", url="https://atlas.mitre.org", license="Apache-2.0")
MAX_STEPS: Final = 100

_KEY: Final = re.compile(r"AML\.CS\d{4}", re.ASCII).fullmatch
_REALIZATION: Final = {"incident": "harm-event", "exercise": "potential"}
_FIDELITY: Final = {"DATE": "day", "MONTH": "month", "YEAR": "year"}
# The last word of the name of a group of researchers or of a company for security.
_TEAM: Final = re.compile(r"\b(?:team|cyber|intelligence|researchers)$", re.IGNORECASE).search
_ASIDE: Final = re.compile(r"\s*\([^()]*\)")

Step = tuple[int, Technique, str]


def read(stream: BinaryIO, *, stix: BinaryIO | None = None) -> Iterator[Record]:
    """One record for each case study of ATLAS.yaml, in the order of the file. `stix`: stix-atlas.json.

    Raises: `ImportUnreadable` when the file is no YAML within the limits or holds no list of case studies,
    or when the STIX file holds no technique of ATLAS.
    """
    tree = read_yaml(stream)
    studies = at(tree.value, "case-studies")
    if not isinstance(studies, list):
        raise ImportUnreadable("It has no list named case-studies: this is no ATLAS.yaml.")
    _check_doubles(tree)
    techniques = described(tree.value) if stix is None else published(stix)
    release = newest(tree.value)
    if stix is not None:
        release = _later(release)
    seen: set[str] = set()
    for index, study in enumerate(studies):
        doubles = sorted(str(path[-1]) for path in tree.doubles if path[1] == index)
        yield _record(study, index, doubles, seen, techniques, release)


def _check_doubles(tree: Read) -> None:
    outside = [path for path in tree.doubles if path[0] != "case-studies" or len(path) < 3]
    if outside:
        raise ImportUnreadable(f"The key {show(outside[0][-1])} stands twice in one mapping.")


def _later(moment: str) -> str:
    parsed = times.parse(moment)
    assert parsed is not None  # written by `day_at` or a constant
    return times.write(parsed + timedelta(milliseconds=1))


def _record(
    study: object,
    index: int,
    doubles: Sequence[str],
    seen: set[str],
    techniques: Techniques,
    release: str,
) -> Record:
    key = text_at(study, "id")
    if not isinstance(study, dict) or not _KEY(key):
        said = f"Its id is {show(key)}, not one such as AML.CS0001."
        return refused(f"{SOURCE.key}:case study {index + 1}", "import-malformed", said)
    name = f"{SOURCE.key}:{key}"
    if doubles:
        return refused(name, "duplicate-key", f"The key {show(doubles[0])} is there twice.")
    if key in seen:
        return refused(
            name, "import-duplicate", "The file holds this case study twice; the first one was taken."
        )
    seen.add(key)
    repairs: list[str] = []
    form, parties = _form(study, key, repairs)
    steps = _steps(study, techniques, parties, repairs)
    _classify(steps, form)
    created = day_at(study, "incident-date")
    if created is None:
        repairs.append("no sound incident-date: created is a fixed day")
        created = PARTY_EPOCH
    beside = partial(_beside, steps=steps)
    return SOURCE.publish(key, form, repairs, created=created, modified=max(created, release), beside=beside)


def _form(study: Mapping[str, Any], key: str, repairs: list[str]) -> tuple[dict[str, Any], Parties]:
    kind = text_at(study, "case-study-type")
    if kind not in _REALIZATION:
        repairs.append(f"case-study-type is {show(kind)}: whether harm happened is not known")
    form: dict[str, Any] = {
        "tlp": "clear",
        "realization": _REALIZATION.get(kind, "unknown"),
        "report_status": "submitted",
        "ai_relation": ["adversarial-attack"],
        "causal_entity": "human",
        "causal_intent": "intentional",
        "harms": [{"harm_type": "ai-security"}],
    }
    title, description = title_and_description(text_at(study, "name"), text_at(study, "summary"), repairs)
    parties = Parties(form, repairs)
    _actors(text_at(study, "actor"), parties)
    _target(text_at(study, "target"), form, parties, repairs)
    parties.close()
    form["title"], form["description"] = parties.mask(title, description)
    day = day_at(study, "incident-date")
    if day is not None:
        form["occurred_start"] = day
        form["occurred_fidelity"] = _FIDELITY.get(text_at(study, "incident-date-granularity"), "day")
    url = f"{SOURCE.url}/studies/{key}"
    form["source_record"], own = SOURCE.record(key, url, study, "MITRE ATLAS, Apache-2.0")
    told = references(list_at(study, "references"), "title", repairs)
    form["sources"] = [{**own, "name": "mitre-atlas"}, *parties.mask_sources(told)]
    return form, parties


def _actors(said: str, parties: Parties) -> None:
    """Whoever attacked. Several are named in one line; who may be one person is looked for in the texts."""
    names = [name.strip().removeprefix("and ") for name in re.split("[,;]", said)]
    names = [name for name in names if name and name.lower() not in ("one individual", "two individuals")]
    handles = [f"user-named-{_ASIDE.sub('', name)}" for name in names if _is_handle(name)]
    parties.add(
        "actors",
        [*(name for name in names if not _is_handle(name)), *handles],
        judge=_judge_actor,
        display=lambda name, _kind: name,
        people=True,
    )


def _is_handle(name: str) -> bool:
    """Whether it is the name of an account: `someone42 (GitHub user)`, `some_one`."""
    return "user)" in name.lower() or re.fullmatch(r"\w*_\w*", name) is not None


def _judge_actor(name: str) -> party.Kind | None:
    if name.startswith("user-named-"):
        return None
    return "organization" if _TEAM(name) else party.judge(name, harmed=False)


def _target(said: str, form: dict[str, Any], parties: Parties, repairs: list[str]) -> None:
    """What was attacked: a group of people is a party, anything else a system in free words."""
    name = tidy_text(said, 500, "target", repairs, line=True)
    if not name:
        return
    if party.judge(name, harmed=True) == "class":
        parties.add("affected", [name])
    else:
        form["systems"] = [{"name": name, "kind": "system", "role": "primary"}]


def _steps(
    study: Mapping[str, Any], techniques: Techniques, parties: Parties, repairs: list[str]
) -> list[Step]:
    steps: list[Step] = []
    missing: list[str] = []
    told = list_at(study, "procedure")
    for number, one in enumerate(told[:MAX_STEPS], start=1):
        name = text_at(one, "technique")
        technique = techniques.get(name)
        if technique is None:
            missing.append(f"{number} ({name[:20]})")
            continue
        said = tidy_text(text_at(one, "description"), 40_000, f"step {number}", repairs)
        steps.append((number, technique, said))
    if missing:
        repairs.append(f"step(s) {', '.join(missing)} name no technique that is there: left out")
    if len(told) > MAX_STEPS:
        repairs.append(f"{len(told) - MAX_STEPS} step(s) beyond {MAX_STEPS} left out")
    masked = parties.mask(*(said for _, _, said in steps), where="steps")
    repairs += dict.fromkeys(repair for _, technique, _ in steps for repair in technique.repairs)
    return [(number, technique, said) for (number, technique, _), said in zip(steps, masked, strict=True)]


def _classify(steps: Sequence[Step], form: dict[str, Any]) -> None:
    classes = {
        technique.key: {"scheme": "atlas", "code": technique.key, "label": technique.object["name"][:250]}
        for _, technique, _ in steps
    }
    if classes:
        form["classifications"] = list(classes.values())


def _beside(incident_id: str, frame: Mapping[str, Any], *, steps: Sequence[Step]) -> list[Object]:
    """The techniques, each once, and the steps that use them."""
    used = {technique.key: technique.object for _, technique, _ in steps}
    links = [
        relate(
            incident_id,
            "uses",
            technique.object["id"],
            f"step-{number}",
            frame,
            said=f"Step {number}: {said}" if said else f"Step {number}",
        )
        for number, technique, said in steps
    ]
    return [*used.values(), *links]
