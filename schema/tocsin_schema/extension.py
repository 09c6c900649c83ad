"""The three extensions an incident or a system carries, property by property.

`INCIDENT` (ai-incident) and `SYSTEM` (ai-system) are ours; `CORE` is the part of the OASIS incident core
extension that did not change between its revisions. The published JSON Schemas, the glossary and the checks
are made from these tables.
"""

from typing import Final

from tocsin_schema import vocabulary as voc
from tocsin_schema.record import Field, ListOf, Record
from tocsin_schema.shape import Number, Pattern, Ref, Text, Time, Whole, Word, YesNo

PROFILE_VERSION: Final = "1.0"
PROPERTY_EXTENSION: Final = Word({"property-extension": "adds properties to an object of another type"})

VERSION: Final = Pattern(r"\d{1,3}\.\d{1,3}", "a profile version such as 1.0", recurring=True)
COUNTRY: Final = Pattern(r"[A-Z]{2}", "a two-letter country code such as DE (ISO 3166-1)", recurring=True)
CURRENCY: Final = Pattern(r"[A-Z]{3}", "a three-letter currency code such as EUR (ISO 4217)", recurring=True)
SHA256: Final = Pattern(r"[0-9a-f]{64}", "a SHA-256 in 64 lower-case hex digits")
URL: Final = Pattern(
    r"https?://(?!.*%(?![0-9A-Fa-f]{2}))[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]{1,1980}",
    "a web address such as https://example.org/page",
)
MEDIA_TYPE: Final = Pattern(r"[a-z]+/[A-Za-z0-9.+-]{1,100}", "a media type such as text/plain")

HARM: Final = Record(
    {
        "harm_type": Field(Word(voc.HARM_TYPE), "what was harmed", required=True),
        "level": Field(Whole(0, 5), "how grave a person judges it: 0 none to 5 critical"),
        "materialised": Field(YesNo(), "whether this harm happened"),
        "reversibility": Field(Word(voc.REVERSIBILITY), "whether it can be undone"),
        "basis": Field(ListOf(Word(voc.HARM_BASIS_OV, open_=True), 30), "grounds of unequal treatment"),
        "note": Field(Text(2000, lines=True), "what else matters about it"),
    },
    like="a harm: an object with harm_type",
)

ECONOMIC_LOSS: Final = Record(
    {
        "amount": Field(Number(0, 1e15), "how much", required=True),
        "currency": Field(CURRENCY, "in which currency", required=True),
    },
    like="an object with amount and currency",
)

COUNT: Final = Whole()
QUANTITIES: Final = Record(
    {
        "deaths": Field(COUNT, "people who died"),
        "serious_injuries": Field(COUNT, "people with lasting or life-threatening injuries"),
        "injuries": Field(COUNT, "people injured otherwise"),
        "persons_affected": Field(COUNT, "people affected in any way"),
        "organisations_affected": Field(COUNT, "organisations affected"),
        "personal_records": Field(COUNT, "records of personal data exposed or misused"),
        "outage_minutes": Field(COUNT, "minutes out of service"),
        "views": Field(COUNT, "times the content was seen"),
        "reposts": Field(COUNT, "times the content was passed on"),
        "economic_loss": Field(ECONOMIC_LOSS, "money lost"),
        "estimated": Field(YesNo(), "whether the numbers are estimates"),
    },
    like="an object of numbers",
)

SYSTEM_USE: Final = Record(
    {
        "system_ref": Field(Ref(("software", "infrastructure")), "which system", required=True),
        "role": Field(Word(voc.SYSTEM_ROLE), "its part in the incident"),
    },
    like="an object with system_ref",
)

PARTY_REFS: Final = ListOf(Ref(("identity", "threat-actor")), 200)
PARTIES: Final = Record(
    {
        "developer_refs": Field(PARTY_REFS, "who made the system"),
        "deployer_refs": Field(PARTY_REFS, "who runs it"),
        "affected_refs": Field(PARTY_REFS, "who was harmed or nearly harmed"),
        "actor_refs": Field(PARTY_REFS, "who did it on purpose"),
    },
    like="an object of lists of identities",
)

CLASSIFICATION: Final = Record(
    {
        "scheme": Field(Word(voc.CLASSIFICATION_SCHEME_OV, open_=True), "which taxonomy", required=True),
        "version": Field(Text(40), "its version"),
        "code": Field(Text(100), "the class", required=True),
        "label": Field(Text(250), "its name"),
        "assigned_by": Field(Word(voc.ASSIGNED_BY), "who chose it"),
        "confidence": Field(Whole(0, 100), "how sure"),
    },
    like="an object with scheme and code",
)

CVSS: Final = Record(
    {
        "version": Field(Pattern(r"[234]\.\d", "a CVSS version such as 3.1"), "its version"),
        "vector": Field(Text(250), "its vector"),
        "base_score": Field(Number(0, 10), "its base score", required=True),
    },
    like="an object with base_score",
)

SEVERITY_OVERRIDE: Final = Record(
    {
        "by_ref": Field(Ref(("identity",)), "which organisation set the level", required=True),
        "by_name": Field(Text(100), "which person or role there; it travels with the report"),
        "at": Field(Time(), "when", required=True),
        "reason": Field(Text(2000, lines=True), "why", required=True),
    },
    like="an object with by_ref, at and reason",
)

ACTION: Final = Record(
    {
        "at": Field(Time(), "when"),
        "kind": Field(Word(voc.ACTION_KIND), "what was done", required=True),
        "text": Field(Text(2000, lines=True), "in words"),
    },
    like="an object with kind",
)

EVIDENCE: Final = Record(
    {
        "kind": Field(Word(voc.EVIDENCE_KIND), "what it is", required=True),
        "sha256": Field(SHA256, "its SHA-256; the content never travels", required=True),
        "size": Field(COUNT, "its size in bytes"),
        "media_type": Field(MEDIA_TYPE, "its media type"),
        "held_by_ref": Field(Ref(("identity",)), "who holds it"),
        "retained_until": Field(Time(), "until when it is held"),
    },
    like="an object with kind and sha256",
)

SOURCE_RECORD: Final = Record(
    {
        "source": Field(Text(100), "the collection it was taken from", required=True),
        "id": Field(Text(250), "its key there", required=True),
        "url": Field(URL, "where it can be read"),
        "license": Field(Text(250), "under which licence"),
        "retrieved_at": Field(Time(), "when it was fetched"),
        "sha256": Field(SHA256, "SHA-256 of the record as it was read"),
        "report_ids": Field(ListOf(Text(100), 2000), "keys of the press reports behind it"),
    },
    like="an object with source and id",
)

INCIDENT: Final = Record(
    {
        "extension_type": Field(PROPERTY_EXTENSION, "always property-extension", required=True),
        "profile_version": Field(VERSION, "the version of this profile", required=True),
        "report_status": Field(Word(voc.REPORT_STATUS), "how far the work on it is"),
        "realization": Field(Word(voc.REALIZATION), "whether harm happened", required=True),
        "oecd_class": Field(Word(voc.OECD_CLASS), "OECD class of the event", computed=True),
        "occurred_start": Field(Time(), "when it began"),
        "occurred_end": Field(Time(), "when it ended"),
        "occurred_fidelity": Field(Word(voc.FIDELITY), "how exactly these two are known"),
        "detected_at": Field(Time(), "when somebody or something noticed it"),
        "aware_at": Field(Time(), "when the organisation became aware; legal clocks start here"),
        "causal_link_at": Field(Time(), "when the link to the AI system was established"),
        "contained_at": Field(Time(), "when it stopped spreading"),
        "resolved_at": Field(Time(), "when the cause was removed"),
        "countries": Field(ListOf(COUNTRY, 250), "where it happened"),
        "reporter_role": Field(Word(voc.REPORTER_ROLE), "who reports"),
        "ai_relation": Field(ListOf(Word(voc.AI_RELATION), 10), "what the AI system had to do with it"),
        "causality": Field(Word(voc.CAUSALITY), "how the system led to the harm"),
        "causal_entity": Field(Word(voc.CAUSAL_ENTITY), "whose decision caused it"),
        "causal_intent": Field(Word(voc.CAUSAL_INTENT), "whether it was meant"),
        "causal_timing": Field(Word(voc.CAUSAL_TIMING), "before or after the system went into service"),
        "lifecycle_phase": Field(ListOf(Word(voc.LIFECYCLE_PHASE), 6), "where in the life of the system"),
        "autonomy_level": Field(Word(voc.AUTONOMY_LEVEL), "how much a person was in the loop"),
        "ai_tasks": Field(ListOf(Word(voc.AI_TASK_OV, open_=True), 30), "what the system does"),
        "failure_modes": Field(ListOf(Text(100), 50), "how it failed"),
        "harms": Field(ListOf(HARM, 50), "what was harmed"),
        "quantities": Field(QUANTITIES, "how much was harmed"),
        "flags": Field(ListOf(Word(voc.FLAG), 30), "circumstances that make it graver"),
        "affected_groups": Field(
            ListOf(Word(voc.AFFECTED_GROUP_OV, open_=True), 30), "which groups of people"
        ),
        "rights": Field(ListOf(Word(voc.RIGHT_OV, open_=True), 30), "which rights"),
        "sectors": Field(ListOf(Word(voc.SECTOR), 21), "in which sectors (ISIC Rev. 4)"),
        "critical_sectors": Field(ListOf(Word(voc.CRITICAL_SECTOR), 17), "in which critical sectors (CISA)"),
        "deployment_breadth": Field(Word(voc.DEPLOYMENT_BREADTH), "how widely the system is used"),
        "systems": Field(ListOf(SYSTEM_USE, 100), "the AI systems involved", computed=True),
        "parties": Field(PARTIES, "the parties involved", computed=True),
        "classifications": Field(ListOf(CLASSIFICATION, 100), "classes in other taxonomies"),
        "cvss": Field(CVSS, "technical score of a weakness"),
        "severity_scheme": Field(Text(40), "the scheme of the next six", computed=True),
        "severity_level": Field(Whole(0, 5), "how grave: 0 none to 5 critical"),
        "severity_score": Field(Whole(0, 100), "the same, finer", computed=True),
        "response_grade": Field(Word(voc.GRADE), "how to respond", computed=True),
        "severity_basis": Field(Word(voc.SEVERITY_BASIS), "where the level comes from"),
        "severity_drivers": Field(ListOf(Text(250), 50), "which facts led to it", computed=True),
        "severity_override": Field(SEVERITY_OVERRIDE, "who set the level and why"),
        "actions_taken": Field(ListOf(ACTION, 100), "what was done about it"),
        "reproduction": Field(Word(voc.REPRODUCTION), "whether it was seen again under test"),
        "reproduction_rate": Field(Number(0, 1), "in which share of the trials"),
        "reproduction_trials": Field(COUNT, "in how many trials"),
        "evidence": Field(ListOf(EVIDENCE, 100), "what is kept to prove it, by hash"),
        "source_record": Field(SOURCE_RECORD, "the public record it was imported from"),
        "personal_data": Field(Word(voc.PERSONAL_DATA), "whether the report names people"),
        "ai_assistance": Field(Word(voc.AI_ASSISTANCE), "whether an AI wrote it"),
    },
    like="an object",
)

SYSTEM: Final = Record(
    {
        "extension_type": Field(PROPERTY_EXTENSION, "always property-extension", required=True),
        "profile_version": Field(VERSION, "the version of this profile", required=True),
        "system_kind": Field(Word(voc.SYSTEM_KIND), "what it is"),
        "model_identifier": Field(Text(500), "its name in a registry: address, purl or model id"),
        "model_type": Field(Text(100), "how it is built"),
        "modalities": Field(ListOf(Word(voc.MODALITY), 8), "what it takes and gives"),
        "weights_access": Field(Word(voc.WEIGHTS_ACCESS), "who can get the weights"),
        "gpai_class": Field(Word(voc.GPAI_CLASS), "general-purpose class (EU)"),
        "eu_risk_class": Field(Word(voc.EU_RISK_CLASS), "risk class (EU)"),
        "annex_iii_point": Field(Whole(1, 8), "point of Annex III (EU)"),
        "base_model_ref": Field(Ref(("software", "infrastructure")), "the model it is built on"),
        "developer_ref": Field(Ref(("identity",)), "who made it"),
        "artifact_sha256": Field(SHA256, "SHA-256 of the model file"),
        "training_framework": Field(Text(100), "what it was trained with"),
        "license": Field(Text(250), "its licence"),
        "aibom_url": Field(URL, "its bill of materials"),
        "release_date": Field(Time(), "when it came out"),
    },
    like="an object",
)

CORE_SCORE: Final = Record(
    {
        "name": Field(Text(250), "the scheme", required=True),
        "value": Field(Number(-1e15, 1e15), "the score", required=True),
        "description": Field(Text(1000), "how it came about"),
    },
    unknown="warn",
    like="an object with name and value",
)

CORE: Final = Record(
    {
        "extension_type": Field(PROPERTY_EXTENSION, "always property-extension", required=True),
        "determination": Field(Word(voc.DETERMINATION), "whether it happened"),
        "investigation_status": Field(Word(voc.INVESTIGATION_STATUS), "how far the investigation is"),
        "criticality": Field(Whole(0, 100), "the severity score"),
        "detection_methods": Field(
            ListOf(Word(voc.DETECTION_METHOD_OV, open_=True), 10), "how it was noticed"
        ),
        "recoverability": Field(Word(voc.RECOVERABILITY), "how it can be recovered from"),
        "incident_types": Field(ListOf(Text(100), 50), "kinds of cyber event"),
        "scores": Field(ListOf(CORE_SCORE, 50), "scores by scheme"),
    },
    unknown="warn",
    like="an object",
)
