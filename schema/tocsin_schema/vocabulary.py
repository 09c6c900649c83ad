"""The closed and open word lists of the profile, each word with its meaning in one line.

The JSON Schemas, the form template, the checks and the glossary in schema/README.md are all made from these
tables, so a word is added here and nowhere else. Closed lists refuse other words; open lists (`*_OV`) take
any word of the same shape.
"""

from collections.abc import Mapping
from typing import Final

Words = Mapping[str, str]

REALIZATION: Final[Words] = {
    "harm-event": "harm happened",
    "near-miss": "harm was imminent and was averted",
    "potential": "harm is plausible, not imminent: a hazard",
    "no-harm": "looked at: no harm, and none plausible",
    "unknown": "not established",
}

REPORT_STATUS: Final[Words] = {
    "draft": "being written",
    "submitted": "filed, nobody has looked at it yet",
    "triaged": "looked at and graded",
    "investigating": "being investigated",
    "contained": "the harm has stopped spreading",
    "resolved": "the cause is removed",
    "closed": "nothing more to do",
    "disputed": "a named party says it did not happen so",
    "withdrawn": "taken back by its creator, for good",
}

OECD_CLASS: Final[Words] = {
    "hazard": "could plausibly lead to an incident",
    "serious-hazard": "could plausibly lead to a serious incident or a disaster",
    "incident": "harm happened",
    "serious-incident": "death or serious harm happened",
    "disaster": "a serious incident beyond what the community can cope with",
    "other": "none of these, or not established",
}

FIDELITY: Final[Words] = {
    "second": "the time is good to the second",
    "minute": "good to the minute",
    "hour": "good to the hour",
    "day": "only the day is known",
    "month": "only the month is known",
    "year": "only the year is known",
}

REPORTER_ROLE: Final[Words] = {
    "developer": "made the system",
    "provider": "put the system on the market",
    "deployer": "runs the system",
    "user": "uses the system",
    "affected-person": "was harmed or nearly harmed",
    "researcher": "studies the system",
    "regulator": "supervises",
    "media": "reports in public",
    "civil-society": "speaks for those affected",
    "automated": "a monitor filed it",
    "other": "someone else",
}

AI_RELATION: Final[Words] = {
    "malfunction": "the system did not do what it was made for",
    "foreseeable-misuse": "used against its purpose in a way that could be foreseen",
    "malicious-use": "used as a tool to do harm",
    "adversarial-attack": "the system itself was attacked",
    "intended-use-harm": "worked as intended, and that did the harm",
    "overreliance": "people trusted it too much",
    "development-harm": "harm in making it: labour, data, energy",
    "multi-agent-interaction": "several systems together",
    "loss-of-control": "it could not be stopped or corrected",
    "unknown": "not established",
}

CAUSALITY: Final[Words] = {
    "direct": "the system caused the harm",
    "contributing": "one of several causes",
    "indirect": "made it possible or easier",
    "disputed": "a party denies the link",
    "not-established": "no link shown so far",
}

CAUSAL_ENTITY: Final[Words] = {"ai": "the AI's decision", "human": "a person's decision", "other": "neither"}
CAUSAL_INTENT: Final[Words] = {
    "intentional": "the outcome was wanted",
    "unintentional": "the outcome was not wanted",
    "other": "not said",
}
CAUSAL_TIMING: Final[Words] = {
    "pre-deployment": "before the system was in service",
    "post-deployment": "while the system was in service",
    "other": "not said",
}

LIFECYCLE_PHASE: Final[Words] = {
    "L01": "business understanding",
    "L02": "data understanding",
    "L03": "data preparation",
    "L04": "model development",
    "L05": "evaluation",
    "L06": "deployment",
}

AUTONOMY_LEVEL: Final[Words] = {
    "autonomous": "acts without a person",
    "human-on-the-loop": "a person watches and can step in",
    "human-in-the-loop": "a person decides on its advice",
    "unclear": "not known",
}

AI_TASK_OV: Final[Words] = {
    "recognition": "says what is there",
    "event-detection": "says when something happens",
    "forecasting": "says what will happen",
    "personalisation": "chooses for one person",
    "interaction-support": "talks with people",
    "goal-driven-optimisation": "searches the best way",
    "reasoning": "draws conclusions",
    "content-generation": "makes text, images, sound or code",
    "agentic-action": "acts in other systems",
}

HARM_TYPE: Final[Words] = {
    "physical-health": "death, injury, illness",
    "psychological": "harm to the mind, self-harm included",
    "fundamental-rights": "arrest, denial of a benefit or service, other rights",
    "discrimination": "unequal treatment of a protected group",
    "privacy": "personal data exposed or misused",
    "economic": "loss of money or livelihood",
    "property": "damage to things",
    "intangible-property": "works, likeness, trade secrets",
    "critical-infrastructure": "power, water, transport, health care, communications … disturbed",
    "environment": "damage to nature",
    "democratic-social": "elections, public order, trust in institutions",
    "harmful-content": "abuse material, hate, disinformation, fraud",
    "reputational": "a name damaged",
    "ai-security": "weights, control or integrity of an AI system lost",
    "other": "none of these",
}

REVERSIBILITY: Final[Words] = {
    "reversible": "can be undone",
    "irreversible": "cannot be undone",
    "unknown": "not known",
}

HARM_BASIS_OV: Final[Words] = {
    "age": "age",
    "disability": "disability",
    "financial-means": "financial means",
    "gender-identity": "gender identity",
    "nation-of-origin": "nation of origin, citizenship",
    "political-views": "political views",
    "race": "race or ethnicity",
    "religion": "religion",
    "sex": "sex",
    "sexual-orientation": "sexual orientation",
    "other": "another ground",
}

FLAG: Final[Words] = {
    "ongoing": "the harm goes on now",
    "irreversible": "it cannot be undone",
    "widespread": "many places or many member states",
    "population-scale": "a whole population is reached",
    "critical-infrastructure": "critical infrastructure is touched",
    "vulnerable-group": "children, patients, old or dependent people",
    "minor-involved": "a child is involved",
    "cross-border": "more than one country",
    "personal-data": "personal data is involved",
    "special-category-data": "health, belief, origin, sexuality, biometric data",
    "model-weights-exposed": "weights got out or could be read",
    "loss-of-control": "the system could not be stopped or corrected",
    "deception-of-developer": "the system misled those who test or watch it",
    "cbrn": "chemical, biological, radiological or nuclear help was given",
    "csam": "sexual abuse material of children",
    "imminent-risk-to-life": "somebody may die soon",
    "capacity-exceeded": "the community cannot cope alone",
    "transferable": "other systems are likely affected in the same way",
}

AFFECTED_GROUP_OV: Final[Words] = {
    "consumers": "consumers",
    "workers": "workers",
    "business": "businesses",
    "government": "public bodies",
    "children": "children",
    "patients": "patients",
    "students": "students",
    "general-public": "anyone",
    "minority-group": "a minority group",
    "creators": "authors, artists, performers",
    "other": "another group",
}

RIGHT_OV: Final[Words] = {
    "privacy": "privacy and data protection",
    "non-discrimination": "equal treatment",
    "liberty": "freedom of the person",
    "fair-trial": "a fair hearing",
    "expression": "free expression and information",
    "ip": "intellectual property",
    "labour": "fair work",
    "dignity": "human dignity",
    "other": "another right",
}

SECTOR: Final[Words] = {
    "A": "agriculture, forestry, fishing",
    "B": "mining",
    "C": "manufacturing",
    "D": "electricity, gas",
    "E": "water, waste",
    "F": "construction",
    "G": "trade, vehicle repair",
    "H": "transport, storage",
    "I": "accommodation, food service",
    "J": "information, communication",
    "K": "finance, insurance",
    "L": "real estate",
    "M": "professional, scientific, technical",
    "N": "administrative, support services",
    "O": "public administration, defence",
    "P": "education",
    "Q": "health, social work",
    "R": "arts, entertainment",
    "S": "other services",
    "T": "households",
    "U": "international organisations",
}

CRITICAL_SECTOR: Final[Words] = {
    "chemical": "chemical industry",
    "commercial": "commercial facilities",
    "communications": "communications",
    "manufacturing": "critical manufacturing",
    "dams": "dams",
    "defense": "defence industry",
    "emergency": "emergency services",
    "energy": "energy",
    "finance": "financial services",
    "food": "food and agriculture",
    "government": "government facilities",
    "health": "health care",
    "it": "information technology",
    "nuclear": "nuclear",
    "transport": "transport",
    "water": "water",
    "other": "another critical sector",
}

DEPLOYMENT_BREADTH: Final[Words] = {
    "test": "under test only",
    "single-organisation": "one organisation",
    "sector": "across a sector",
    "national": "across a country",
    "global": "in many countries",
    "unknown": "not known",
}

SYSTEM_ROLE: Final[Words] = {
    "primary": "the system the incident is about",
    "component": "a part of it",
    "upstream-model": "the model it is built on",
    "dataset": "data it learned from",
    "tool": "a tool it used",
}

CLASSIFICATION_SCHEME_OV: Final[Words] = {
    "mit-ai-risk-domain": "MIT AI Risk Repository, domain.subdomain",
    "csetv0": "CSET taxonomy, first version",
    "csetv1": "CSET AI Harm Taxonomy",
    "gmf": "Goals, Methods and Failures",
    "avid-sep": "AVID security, ethics, performance codes",
    "avid-lifecycle": "AVID lifecycle phases",
    "atlas": "MITRE ATLAS technique",
    "nist-ai-600-1": "NIST generative AI risks",
    "eu-ai-act-3-49": "EU AI Act, Article 3(49), a to d",
    "oecd-principle": "OECD AI principle",
    "mlcommons-ailuminate": "MLCommons AILuminate hazard",
    "cn-genai-event": "TC260 generative AI event class",
}
ASSIGNED_BY: Final[Words] = {"human": "a person", "rule": "a fixed rule", "model": "a model"}

SEVERITY_BASIS: Final[Words] = {
    "computed": "computed from the facts",
    "reported": "taken from the source, at least what the facts give",
    "overridden": "set by a named person, with a reason",
}
GRADE: Final[Words] = {
    "I": "particularly major (level 5)",
    "II": "major (level 4)",
    "III": "relatively major (level 3)",
    "IV": "ordinary (levels 1 and 2)",
    "none": "no harm, none plausible (level 0)",
}
LEVEL_NAMES: Final = ("none", "negligible", "minor", "substantial", "severe", "critical")

ACTION_KIND: Final[Words] = {
    "rollback": "went back to an earlier version",
    "disable": "switched off",
    "restrict-access": "limited who may use it",
    "patch": "mended",
    "retrain": "trained anew",
    "filter": "inputs or outputs filtered",
    "user-notice": "told the users",
    "recall": "called back from the market",
    "human-review": "a person checks each decision",
    "law-enforcement": "police or prosecutor informed",
    "other": "something else",
}
REPRODUCTION: Final[Words] = {
    "not-tried": "nobody tried",
    "reproduced": "seen again under test",
    "not-reproduced": "tried, not seen again",
}
EVIDENCE_KIND: Final[Words] = {
    "log": "a log",
    "prompt-output": "prompt and output",
    "model-artifact": "a model file",
    "screenshot": "a picture of the screen",
    "document": "a document",
    "dataset": "a data set",
}
PERSONAL_DATA: Final[Words] = {
    "none": "the report names no person",
    "pseudonymised": "names are replaced",
    "present": "the report names a person: it stays on this node",
}
AI_ASSISTANCE: Final[Words] = {
    "none": "written by people",
    "ai-assisted": "written with an AI's help",
    "ai-generated": "written by an AI",
}

SYSTEM_KIND: Final[Words] = {
    "model": "a model",
    "system": "a product or service",
    "agent": "an agent that acts",
    "dataset": "a data set",
    "tool": "a tool",
    "library": "a library",
    "hardware": "hardware",
}
MODALITY: Final[Words] = {
    "text": "text",
    "image": "images",
    "audio": "sound",
    "video": "video",
    "code": "code",
    "tabular": "tables",
    "sensor": "sensors",
    "action": "actions",
}
WEIGHTS_ACCESS: Final[Words] = {
    "closed": "nobody outside",
    "api": "through an interface",
    "gated": "on request",
    "open": "anyone",
    "unknown": "not known",
}
GPAI_CLASS: Final[Words] = {
    "none": "not general-purpose",
    "gpai": "general-purpose",
    "gpai-systemic": "general-purpose with systemic risk",
}
EU_RISK_CLASS: Final[Words] = {
    "prohibited": "Article 5",
    "annex-i": "high risk by product law",
    "annex-iii": "high risk by use",
    "limited": "transparency duties",
    "minimal": "no duties",
    "unknown": "not known",
}

# OASIS incident core extension, the part that is stable between its revisions 06 and 07.
DETERMINATION: Final[Words] = {
    "blocked": "stopped before harm",
    "confirmed": "it happened",
    "failed-attempt": "tried in vain",
    "false-positive": "nothing happened",
    "suspected": "not established",
}
INVESTIGATION_STATUS: Final[Words] = {"new": "not begun", "open": "under way", "closed": "ended"}
DETECTION_METHOD_OV: Final[Words] = {
    "automated-tool": "a monitor of one's own",
    "commercial-solution": "a bought product",
    "external-notification": "somebody outside said so",
    "human-review": "a person looked",
    "message-from-attacker": "the attacker said so",
    "proprietary-solution": "a product made in house",
    "system-outage": "it stopped working",
    "user-reporting": "a user said so",
}
RECOVERABILITY: Final[Words] = {
    "not-applicable": "nothing to recover",
    "regular": "with the means at hand",
    "supplemented": "with more of one's own means",
    "extended": "with outside help",
    "not-recoverable": "cannot be recovered",
}

EXPOSURE: Final[Words] = {
    "affected": "the same happens to us, or can",
    "not-affected": "we have looked: it does not concern us",
    "investigating": "we do not know yet and are looking",
}

OPINION: Final[Words] = {
    "strongly-disagree": "it is wrong",
    "disagree": "we see it otherwise",
    "neutral": "we cannot say",
    "agree": "we see it so too",
    "strongly-agree": "we can confirm it",
}

STATUS_TO_CORE: Final[Mapping[str, str]] = {
    "draft": "new",
    "submitted": "new",
    "triaged": "open",
    "investigating": "open",
    "contained": "open",
    "disputed": "open",
    "resolved": "closed",
    "closed": "closed",
    "withdrawn": "closed",
}
